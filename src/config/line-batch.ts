/** How long a line waits for others at most. */
const milliseconds = 50

/**
 * Collects lines for a moment: a write for each, or a thread for each write, would cost more than the line. What is
 * written holds whole lines only, about `characters` at most where no single line is longer.
 */
export class LineBatch {
  readonly #write: (text: string) => void
  readonly #characters: number
  #lines = ''
  #timer: NodeJS.Timeout | undefined

  constructor(write: (text: string) => void, characters: number) {
    this.#write = write
    this.#characters = characters
  }

  write(line: string): void {
    if (this.#lines !== '' && this.#lines.length + line.length > this.#characters) this.flush()
    this.#lines += line
    this.#timer ??= setTimeout(() => this.flush(), milliseconds).unref()
  }

  flush(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#timer = undefined
    const lines = this.#lines
    this.#lines = ''
    if (lines !== '') this.#write(lines)
  }
}
