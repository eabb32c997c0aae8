import { createHash } from 'node:crypto'

/** A client token of s3-dropbox, and what its server is told of it: standard base64 of the SHA-256 of its text. */
export const clientToken = 'eW91-c2VuZGVycy1tYWtlLW9uZS1vZi02NC1ieXRlcw_abcdefghijklmnopqrstuvwxyz0123456789ABCDE'
export const cdnToken = 'Y2RuLXRva2VuLW9mLTY0LWJ5dGVzLXRoYXQtb25seS10aGUtY2RuLWtub3dz_abcdefghijklmnopqrstuvwx'

export function serverToken(client: string): string {
  return createHash('sha256').update(client).digest('base64')
}

/** The environment of s3-dropbox, with a header name in capitals, which that system never recognises. */
export const contractVariables = {
  AUTH_TOKEN: serverToken(clientToken),
  CDN_TOKEN: serverToken(cdnToken),
  CDN_TOKEN_HTTP_HEADER_NAME: 'X-CDN-Token',
}

export interface ContractCase {
  readonly title: string
  readonly method?: string
  /** In place of the right ones; undefined leaves a header out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly body?: string
  /** Sent in pieces, without a length. */
  readonly chunked?: true
  readonly status: number
  readonly text: string
}

const cdn = 'X-CDN-Token'

/**
 * What s3-dropbox answers, in the order of its checks: each case is right in all that is looked at before, and often wrong in
 * what comes after. The same table is run against a server, a function and a container.
 */
export const contractCases: readonly ContractCase[] = [
  {
    title: 'no CDN header, nothing else either',
    method: 'GET',
    headers: { 'x-cdn-token': undefined, authorization: undefined },
    status: 401,
    text: `The ${cdn} header must be present`,
  },
  {
    title: 'a CDN header that is no bearer token',
    headers: { 'x-cdn-token': `bearer ${cdnToken}`, authorization: undefined },
    status: 401,
    text: `The ${cdn} header must start with "Bearer "`,
  },
  {
    title: 'the client token as that of the CDN',
    headers: { 'x-cdn-token': `Bearer ${clientToken}`, authorization: undefined },
    status: 401,
    text: `The Bearer token in ${cdn} is not correct`,
  },
  {
    title: 'the hash of the CDN token in place of it',
    headers: { 'x-cdn-token': `Bearer ${serverToken(cdnToken)}` },
    status: 401,
    text: `The Bearer token in ${cdn} is not correct`,
  },
  {
    title: 'no authorization',
    method: 'GET',
    headers: { authorization: undefined },
    status: 401,
    text: 'The authorization header must be present',
  },
  {
    title: 'authorization without the word Bearer',
    headers: { authorization: clientToken },
    status: 401,
    text: 'The authorization header must start with "Bearer "',
  },
  {
    title: 'bearer in small letters',
    headers: { authorization: `bearer ${clientToken}` },
    status: 401,
    text: 'The authorization header must start with "Bearer "',
  },
  {
    title: 'an empty token',
    headers: { authorization: 'Bearer  x' },
    status: 401,
    text: 'The Bearer token in authorization is not correct',
  },
  {
    title: 'the token of the CDN as that of the client, for a method that is not taken',
    method: 'PUT',
    headers: { authorization: `Bearer ${cdnToken}` },
    body: 'abc',
    status: 401,
    text: 'The Bearer token in authorization is not correct',
  },
  { title: 'GET', method: 'GET', status: 405, text: 'Only POST is supported' },
  { title: 'PUT', method: 'PUT', body: 'abc', status: 405, text: 'Only POST is supported' },
  { title: 'DELETE', method: 'DELETE', status: 405, text: 'Only POST is supported' },
  { title: 'OPTIONS', method: 'OPTIONS', status: 405, text: 'Only POST is supported' },
  {
    title: 'a body without a length',
    body: 'abc',
    chunked: true,
    status: 411,
    text: 'The content-length header must be present',
  },
  {
    title: 'one byte more than the limit',
    body: 'x'.repeat(10_241),
    status: 413,
    text: 'The request body must be less 10240 bytes',
  },
  { title: 'as many bytes as the limit', body: 'x'.repeat(10_240), status: 202, text: '' },
  { title: 'one byte less than the limit', body: 'x'.repeat(10_239), status: 202, text: '' },
  { title: 'a small drop', body: '{"a":1}', status: 202, text: '' },
  { title: 'an empty drop', body: '', status: 202, text: '' },
  {
    title: 'spaces around the token',
    headers: { authorization: `Bearer   ${clientToken}` },
    body: 'a',
    status: 202,
    text: '',
  },
]

/** The headers of a case, with the right ones where it says nothing of them. */
export function headersOf({ headers = {} }: Pick<ContractCase, 'headers'>): Record<string, string> {
  const right: Readonly<Record<string, string | undefined>> = {
    'x-cdn-token': `Bearer ${cdnToken}`,
    authorization: `Bearer ${clientToken}`,
    ...headers,
  }
  return Object.fromEntries(
    Object.entries(right).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
  )
}

export interface ContractAnswer {
  readonly status: number
  readonly text: string
  readonly contentType: string | undefined
  /** Names, in lower case. */
  readonly headerNames: readonly string[]
}

/** What every answer of a case must be. */
export function expectedOf({ status, text }: ContractCase): Pick<ContractAnswer, 'status' | 'text' | 'contentType'> {
  return { status, text, contentType: status === 202 ? 'text/plain' : undefined }
}

/** The object names of drops: time to the microsecond in UTC, without a zone, and a UUID. */
export const dropKey =
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
