/** Open files on their way between two processes (SCM_RIGHTS), beside a link. */
export interface DescriptorChannel {
  /** Sends a copy; the number goes into the frame that follows. Undefined where it cannot be sent now. */
  send(descriptor: number): number | undefined
  /** The open file that was sent with this number, a regular one that can be read without asking any other program; throws otherwise. */
  receive(number: number): number
  close(): void
}
