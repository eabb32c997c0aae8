import { pieceBytes } from './compress.js'

/** Joins texts into UTF-8 pieces of at least 64 Ki characters (the last one may be shorter): few, large writes, flat memory. */
export async function* inPieces(texts: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  let gathered = ''
  for await (const text of texts) {
    gathered += text
    if (gathered.length >= pieceBytes) {
      yield Buffer.from(gathered)
      gathered = ''
    }
  }
  if (gathered !== '') yield Buffer.from(gathered)
}
