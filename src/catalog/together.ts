/**
 * Waits for all of these, and throws what the first of them threw only then: a deed that is said to be over must not go
 * on.
 */
export async function together(work: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason
}
