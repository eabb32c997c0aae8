/** The innermost cause of an error in words. */
export function reasonIn(error: Error): string {
  return error.cause instanceof Error ? reasonIn(error.cause) : error.message
}
