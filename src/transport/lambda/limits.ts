/**
 * Most bytes of a handler's result as JSON, behind a Function URL that is not streamed (AWS Lambda quotas: 6 MB, which it
 * names as 6,291,556 in its error).
 */
export const bufferedBytes = 6_291_556

/** Most bytes of a result as JSON behind an Application Load Balancer (ELB user guide, Lambda functions as targets: 1 MB). */
export const balancedBytes = 1_048_576

/** Most bytes of a streamed answer (AWS Lambda, response streaming: 200 MB by default). */
export const streamedBytes = 200 * 1024 * 1024

/** Left for status and headers in a result, in bytes. */
const headBytes = 64 * 1024

/** Most bytes that an answer may be said to have where it comes back in a result of so many: base64 takes a third more. */
export function bodyBytesOf(resultBytes: number): number {
  return Math.floor(((resultBytes - headBytes) * 3) / 4)
}
