import { escapeXml } from '../../core/xml.js'
import type { Header, HttpResponse } from '../../core/http.js'

/** An element with text, or with what is written already; undefined leaves it out. */
export type XmlContent = string | number | boolean | undefined

/** `<name>text</name>`, escaped; nothing for undefined. */
export function text(name: string, content: XmlContent): string {
  return content === undefined ? '' : `<${name}>${escapeXml(String(content))}</${name}>`
}

/** `<name>…</name>` around elements. */
export function element(name: string, ...children: readonly string[]): string {
  return `<${name}>${children.join('')}</${name}>`
}

/** The root element of an answer, with the namespace of S3. */
export function root(name: string, ...children: readonly string[]): string {
  return `<${name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${children.join('')}</${name}>`
}

/** An answer with an XML document. */
export function xmlResponse(status: number, document: string, headers: readonly Header[] = []): HttpResponse {
  const body = Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${document}`)
  return {
    status,
    headers: [['Content-Type', 'application/xml'], ['Content-Length', String(body.length)], ...headers],
    body,
  }
}

/** The last second that was written: keys of one listing are often of one. */
let second = { number: NaN, text: '' }

/** A time as S3 writes it in XML: ISO 8601 with milliseconds. */
export function xmlDate(milliseconds: number): string {
  const number = Math.floor(milliseconds / 1000)
  if (second.number !== number) second = { number, text: new Date(number * 1000).toISOString().slice(0, -4) }
  return `${second.text}${String(Math.trunc(milliseconds - number * 1000)).padStart(3, '0')}Z`
}
