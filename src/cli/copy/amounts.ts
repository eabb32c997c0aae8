/** Bytes for people: `17 bytes`, `1.5 MiB`. */
export function shownBytes(count: number): string {
  if (count < 1024) return `${Math.round(count)} bytes`
  const power = Math.min(Math.floor(Math.log2(count) / 10), 5)
  return `${(count / 2 ** (10 * power)).toFixed(1)} ${'KMGTP'.charAt(power - 1)}iB`
}

/** A time in seconds for people: `4 s`, `3 min 5 s`, `2 h 7 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

/** `1 file`, `2 files`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`
}
