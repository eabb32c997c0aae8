/** One that was killed is gone by then, unless the kernel keeps it, as it does in a file system that stands still. */
export const dieMilliseconds = 2000

/** Resolves when all are gone, or when the time is over. */
export async function goneWithin(milliseconds: number, ...gone: readonly Promise<unknown>[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<void>((resolve) => (timer = setTimeout(resolve, milliseconds)))
  await Promise.race([Promise.all(gone), over])
  clearTimeout(timer)
}
