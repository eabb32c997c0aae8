import { Failure } from '../../../core/failure.js'
import { childElements } from '../../../core/xml.js'
import type { XmlElement } from '../../../core/xml.js'
import { checksumNames } from '../checksums.js'
import type { ChecksumName } from '../checksums.js'
import { etagsOf } from '../objects/object-conditions.js'
import { childText, malformed, readS3Xml } from '../request-xml.js'

/** Ten thousand parts with long checksums and a lot of space in between. */
const mostBytes = 4 * 1024 * 1024
const mostParts = 10_000

/** A part as the client names it. */
export interface NamedPart {
  readonly number: number
  /** Without quotes. */
  readonly etag: string
  /** Base64, as sent. */
  readonly checksums: readonly { readonly name: ChecksumName; readonly value: string }[]
}

/**
 * Reads the body of CompleteMultipartUpload. Throws `invalid` (`MalformedXML` also for none and for more than 10,000 parts,
 * `InvalidPartOrder` unless the numbers go up).
 */
export async function readNamedParts(body: AsyncIterable<Uint8Array>): Promise<readonly NamedPart[]> {
  const document = await readS3Xml(body, 'CompleteMultipartUpload', mostBytes)
  const elements = document === undefined ? [] : childElements(document)
  if (elements.length === 0) throw malformed('Name at least one part.')
  if (elements.length > mostParts) throw malformed(`An object has at most ${mostParts} parts.`)
  const parts = elements.map(namedPart)
  let last = 0
  for (const { number } of parts) {
    if (number <= last)
      throw new Failure('invalid', 'The list of parts was not in ascending order. Parts must be ordered by number.', {
        reason: 'InvalidPartOrder',
      })
    last = number
  }
  return parts
}

function namedPart(element: XmlElement): NamedPart {
  const number = childText(element, 'PartNumber')
  const etag = etagsOf(childText(element, 'ETag'))
  if (element.name !== 'Part' || number === undefined || etag === undefined)
    throw malformed('The list holds Part elements, each with a PartNumber and an ETag.')
  if (!/^\d{1,5}$/.test(number) || Number(number) < 1 || Number(number) > mostParts)
    throw new Failure('invalid', `PartNumber must be an integer between 1 and ${mostParts}, inclusive.`, {
      reason: 'InvalidArgument',
    })
  const checksums = checksumNames.flatMap((name) => {
    const value = childText(element, `Checksum${name.toUpperCase()}`)
    return value === undefined ? [] : [{ name, value }]
  })
  return { number: Number(number), etag: etag === '*' ? etag : (etag[0] ?? ''), checksums }
}
