import { createHash } from 'node:crypto'
import { header } from '../../core/http.js'
import type { HttpRequest, HttpResponse } from '../../core/http.js'
import { escapeHtml } from '../http/html.js'
import { pageScript, pageStyle } from './page-script.js'

export interface PageFacts {
  /** Bytes of one file. */
  readonly limit: number
  /** Media types that are taken; any where it is empty. */
  readonly types: readonly string[]
  /** Nobody is asked for a token. */
  readonly isPublic: boolean
}

/** Whether a person asks with a browser: everybody else is told what a drop tells. */
export function wantsPage({ method, headers }: Pick<HttpRequest, 'method' | 'headers'>): boolean {
  return (method === 'GET' || method === 'HEAD') && /(?:^|[,\s])text\/html\b/i.test(header({ headers }, 'accept') ?? '')
}

/**
 * A page from which a person can drop files, whole in itself: no other host is asked for anything, and nothing but its own
 * script runs in it.
 */
export function uploadPage({ limit, types, isPublic }: PageFacts): HttpResponse {
  const accept = types.length === 0 ? '' : ` accept="${escapeHtml(types.join(','))}"`
  const token = `<label${isPublic ? ' hidden' : ''}>Token <input id="token" type="password" autocomplete="off"${isPublic ? '' : ' required'}></label>`
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Leave a file</title>
<style>${pageStyle}</style>
</head>
<body>
<h1>Leave a file</h1>
<form data-limit="${limit}">
${token}
<label>Files, up to ${sizeText(limit)} each <input id="files" type="file" multiple required${accept}></label>
<button>Send</button>
</form>
<ul aria-live="polite"></ul>
<script>${pageScript}</script>
</body>
</html>
`
  const policy = [
    "default-src 'none'",
    `script-src '${hashOf(pageScript)}'`,
    `style-src '${hashOf(pageStyle)}'`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
  return {
    status: 200,
    headers: [
      ['Content-Type', 'text/html; charset=utf-8'],
      ['Content-Security-Policy', policy],
      ['X-Content-Type-Options', 'nosniff'],
      ['Referrer-Policy', 'no-referrer'],
      ['Cache-Control', 'no-store'],
      ['Vary', 'Accept'],
    ],
    body: Buffer.from(html),
  }
}

/** CSP Level 3, §2.3.1: the hash of what stands between the tags. */
function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}

function sizeText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10))
  return `${Number((bytes / 1024 ** step).toFixed(1))} ${units[step] ?? ''}`
}
