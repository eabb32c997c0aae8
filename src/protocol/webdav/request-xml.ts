import { Failure } from '../../core/failure.js'
import { header, type HttpRequest } from '../../core/http.js'
import { maxXmlBytes, readXml, type XmlElement } from '../../core/xml.js'

/**
 * The XML body of a request; undefined for an empty one. Throws `media-type` for a compressed body, which could hide any
 * size, `too-large` before anything is read where the length is said, and what `readXml` throws.
 */
export async function readDavXml(request: HttpRequest): Promise<XmlElement | undefined> {
  checkXmlHeaders(request)
  return readXml(request.body)
}

/** The bytes of a small XML body, or undefined where it may be larger than that: then nothing has been read. */
export async function readSmallBody(request: HttpRequest): Promise<Buffer | undefined> {
  checkXmlHeaders(request)
  const length = header(request, 'content-length')
  if (length === undefined ? request.headers.has('transfer-encoding') : Number(length) > smallBytes) return undefined
  const chunks: Uint8Array[] = []
  if (length !== undefined && length !== '0') for await (const chunk of request.body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const smallBytes = 4096

function checkXmlHeaders(request: HttpRequest): void {
  const coding = header(request, 'content-encoding')?.trim().toLowerCase()
  if (coding !== undefined && coding !== '' && coding !== 'identity')
    throw new Failure('media-type', 'An XML body must not be compressed.')
  if (Number(header(request, 'content-length') ?? 0) > maxXmlBytes)
    throw new Failure('too-large', `An XML body may hold at most ${maxXmlBytes} bytes.`, { size: maxXmlBytes })
}
