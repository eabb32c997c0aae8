const units: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }

/** `10G`, `500M`, `1024`: a positive number of bytes, units as powers of 1024; undefined for anything else. */
export function parseBytes(text: string): number | undefined {
  const [, digits = '', unit = ''] = /^([1-9][0-9]{0,14})([KMGT]?)$/.exec(text) ?? []
  const found = Number(digits) * (units[unit] ?? 0)
  return found > 0 && Number.isSafeInteger(found) ? found : undefined
}

/** The same, as short as it can be said exactly. */
export function bytesText(bytes: number): string {
  for (const unit of ['T', 'G', 'M', 'K']) {
    const count = bytes / (units[unit] ?? 1)
    if (Number.isInteger(count)) return `${count}${unit}`
  }
  return String(bytes)
}
