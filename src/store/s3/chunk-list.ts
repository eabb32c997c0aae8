/** Chunks below this are copied together: each one costs some hundred bytes beside its own. */
const smallChunkBytes = 8 * 1024
const blockBytes = 64 * 1024

/** Bytes that are collected as they come, without being copied but where they come in crumbs. */
export class ChunkList {
  #chunks: Uint8Array[] = []
  #size = 0
  #block: Uint8Array | undefined
  #filled = 0

  /** Bytes that are in it. */
  get size(): number {
    return this.#size
  }

  add(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#size += chunk.length
    if (chunk.length < smallChunkBytes) {
      this.#copy(chunk)
      return
    }
    this.#endBlock()
    this.#chunks.push(chunk)
  }

  /** All of it, in order. */
  all(): readonly Uint8Array[] {
    this.#endBlock()
    return this.#chunks
  }

  /** The same; the list is empty then. */
  take(): readonly Uint8Array[] {
    const chunks = this.all()
    this.#chunks = []
    this.#size = 0
    this.#block = undefined
    return chunks
  }

  #copy(chunk: Uint8Array): void {
    if (this.#block !== undefined && this.#filled + chunk.length > this.#block.length) {
      this.#endBlock()
      this.#block = undefined
    }
    this.#block ??= Buffer.allocUnsafeSlow(blockBytes)
    this.#block.set(chunk, this.#filled)
    this.#filled += chunk.length
  }

  /** What the block holds becomes a chunk; its rest takes the next crumbs. */
  #endBlock(): void {
    if (this.#block === undefined || this.#filled === 0) return
    this.#chunks.push(this.#block.subarray(0, this.#filled))
    this.#block = this.#block.subarray(this.#filled)
    this.#filled = 0
  }
}
