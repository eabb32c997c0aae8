import { Failure } from '../../core/failure.js'
import { header, type HttpRequest } from '../../core/http.js'
import { maxXmlBytes, parseXml, readXml, type XmlElement } from '../../core/xml.js'

/**
 * The XML body of a request; undefined for an empty one. Throws `media-type` for a compressed body, which could hide any
 * size, `too-large` before anything is read where the length is said, and what `readXml` throws.
 */
export async function readDavXml(request: HttpRequest): Promise<XmlElement | undefined> {
  const bytes = await readSmallBody(request)
  if (bytes === undefined) return readXml(request.body)
  if (bytes.length === 0) return undefined
  if (bytes.length > rememberedBytes) return parseXml(bytes)
  const key = bytes.toString('latin1')
  const known = remembered.get(key)
  if (known !== undefined) return known
  const root = parseXml(bytes)
  if (remembered.size >= rememberedBodies) remembered.clear()
  remembered.set(key, root)
  return root
}

/** Clients send the same few bodies for ever: each is parsed once. What is parsed may be many times as large. */
const remembered = new Map<string, XmlElement>()
const rememberedBodies = 128
const rememberedBytes = 1024

/** The bytes of a small XML body, or undefined where it may be larger than that: then nothing has been read. */
export async function readSmallBody(request: HttpRequest): Promise<Buffer | undefined> {
  checkXmlHeaders(request)
  const length = header(request, 'content-length')
  // Over HTTP/2 a body need not say how long it is.
  if (length === undefined || !(Number(length) <= smallBytes)) return undefined
  const chunks: Buffer[] = []
  if (length !== '0')
    for await (const { buffer, byteOffset, byteLength } of request.body)
      chunks.push(Buffer.from(buffer, byteOffset, byteLength))
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
}

const smallBytes = 4096

function checkXmlHeaders(request: HttpRequest): void {
  const coding = header(request, 'content-encoding')?.trim().toLowerCase()
  if (coding !== undefined && coding !== '' && coding !== 'identity')
    throw new Failure('media-type', 'An XML body must not be compressed.')
  if (Number(header(request, 'content-length') ?? 0) > maxXmlBytes)
    throw new Failure('too-large', `An XML body may hold at most ${maxXmlBytes} bytes.`, { size: maxXmlBytes })
}
