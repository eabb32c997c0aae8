import { createHash } from 'node:crypto'

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text for an element or a quoted attribute; control characters show as their pictures (U+2400). */
export function escapeHtml(text: string): string {
  if (!/[&<>"'\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(text)) return text
  return (
    text
      .replace(/[&<>"']/g, (mark) => escapes[mark] ?? mark)
      .replace(/[\x00-\x1f]/g, (mark) => String.fromCharCode(0x2400 + mark.charCodeAt(0)))
      // Direction marks could make `gpj.exe` of a name look like another one.
      .replace(/[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
  )
}

/** The beginning of a page up to the opened `main`; ended by `pageEnd`. `title` is plain text. */
export function pageStart(title: string): string {
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">' +
    '<meta name="viewport" content="width=device-width, initial-scale=1">' +
    `<title>${escapeHtml(title)}</title><style>${style}</style></head><body><main>\n`
  )
}

export const pageEnd = '</main></body></html>\n'

let policy: string | undefined

/** `Content-Security-Policy` of our pages: the one style sheet, no script, no form, no frame. */
export function pagePolicy(): string {
  policy ??=
    `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  return policy
}

const style =
  ':root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}' +
  'body{margin:0}main{max-width:60rem;margin:0 auto;padding:1rem}' +
  'h1{font-size:1.1rem;font-weight:600;overflow-wrap:anywhere}' +
  'a{text-decoration:none}a:hover,a:focus{text-decoration:underline}' +
  'table{width:100%;border-collapse:collapse}' +
  'th{text-align:left;font-weight:500;font-size:.85rem;opacity:.7}' +
  'td,th{padding:.35rem .5rem;border-bottom:1px solid #8884;vertical-align:top}' +
  'td:first-child{overflow-wrap:anywhere}' +
  'td+td,th+th{white-space:nowrap;text-align:right;font-variant-numeric:tabular-nums}' +
  '@media(max-width:32rem){td:nth-child(3),th:nth-child(3){display:none}}'
