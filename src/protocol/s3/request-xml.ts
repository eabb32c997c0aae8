import { Failure, isFailure } from '../../core/failure.js'
import { childElements, readXml, textOf } from '../../core/xml.js'
import type { XmlElement } from '../../core/xml.js'

/** Elements of the largest document that S3 knows, the list of 10,000 parts, and then some. */
const mostNodes = 100_000

/**
 * Reads a body that must be an XML document of S3 with this root element, whatever its namespace; undefined for an empty
 * one. Reading it to its end checks what was signed and declared. Throws `invalid` (`MalformedXML`), `too-large`
 * (`MalformedXML`) over that many bytes.
 */
export async function readS3Xml(
  body: AsyncIterable<Uint8Array>,
  rootName: string,
  maxBytes: number,
): Promise<XmlElement | undefined> {
  let root: XmlElement | undefined
  try {
    root = await readXml(bounded(body, maxBytes), { bytes: maxBytes, nodes: mostNodes })
  } catch (error) {
    // What the document is to blame for, not what its signature or its digests are.
    if (!isFailure(error, 'invalid', 'too-large', 'media-type') || isS3Reason(error)) throw error
    throw malformed(error.message, error)
  }
  if (root !== undefined && root.name !== rootName) throw malformed(`The body must be a ${rootName} document.`)
  return root
}

/** The text of the first child of that name; undefined without one. */
export function childText(element: XmlElement, name: string): string | undefined {
  const child = childElements(element).find((each) => each.name === name)
  return child === undefined ? undefined : textOf(child).trim()
}

/** The texts of all children of that name. */
export function childTexts(element: XmlElement, name: string): readonly string[] {
  return childElements(element)
    .filter((each) => each.name === name)
    .map((each) => textOf(each).trim())
}

/** `MalformedXML`, with the sentence that says what is wrong. */
export function malformed(message: string, cause?: unknown): Failure {
  return new Failure('invalid', message, { reason: 'MalformedXML', ...(cause !== undefined && { cause }) })
}

function isS3Reason({ reason }: Failure): boolean {
  return reason !== undefined && reason !== 'no-external-entities'
}

async function* bounded(body: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > most) throw malformed(`The body may hold at most ${most} bytes.`)
    yield chunk
  }
}
