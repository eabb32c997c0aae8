import type { Header, HttpResponse } from '../../../core/http.js'

export const uploadsPath = '/-/uploads'

export interface UploadsOptions {
  /** After so long without a part an upload is given up. */
  readonly keepMilliseconds: number
  /** Most bytes of a part that comes through this server: what stands before it may take no more. */
  readonly mostRelayedBytes?: number
}

/** For so long the URL of a part is good. */
export const offeredSeconds = 3600

export function jsonAnswer(status: number, value: object, headers: readonly Header[] = []): HttpResponse {
  const body = Buffer.from(`${JSON.stringify(value)}\n`)
  return {
    status,
    headers: [
      ['Content-Type', 'application/json'],
      ['Content-Length', String(body.length)],
      ['Cache-Control', 'no-store'],
      ['X-Content-Type-Options', 'nosniff'],
      ...headers,
    ],
    body,
  }
}
