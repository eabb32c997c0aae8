import { contentEncodingWithout } from '../../../auth/sigv4/payload.js'
import { Failure } from '../../../core/failure.js'
import type { HttpRequest } from '../../../core/http.js'
import type { Attributes } from '../../../store/store.js'
import { isFieldValue } from '../../http/content-type.js'
import { parseTags, tagsAttribute, writeTags } from './object-tags.js'

/** What the names of user metadata begin with, in headers and in attributes. */
export const metadataPrefix = 'x-amz-meta-'

/** Bytes of user metadata, names without their prefix and values (S3 User Guide, "Working with object metadata"). */
const mostMetadataBytes = 2048

/** Headers that are given back with an object as they came with it. */
export const systemHeaders = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'expires',
] as const

const storageClasses: ReadonlySet<string> = new Set([
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER',
  'GLACIER_IR',
  'DEEP_ARCHIVE',
  'OUTPOSTS',
  'SNOW',
  'EXPRESS_ONEZONE',
  'FSX_OPENZFS',
])

/** Canned lists that give nobody anything that grants do not. */
const harmlessAcls: ReadonlySet<string> = new Set(['private', 'bucket-owner-full-control', 'bucket-owner-read'])
const otherAcls: ReadonlySet<string> = new Set([
  'public-read',
  'public-read-write',
  'authenticated-read',
  'aws-exec-read',
  'log-delivery-write',
])

/**
 * What is kept of an object's headers, as they were sent. Nothing that a client asks for is passed over in silence: what
 * this server does not have throws `unsupported` (`NotImplemented`), encryption above all. Throws `invalid`
 * (`MetadataTooLarge`, `InvalidStorageClass`, `InvalidTag`, `InvalidArgument`).
 */
export function attributesOfRequest({ headers }: Pick<HttpRequest, 'headers'>): Attributes {
  const attributes: Record<string, string> = {}
  let metadataBytes = 0
  for (const [name, values] of headers) {
    const [value = ''] = values
    metadataBytes += take(attributes, name, values.length === 1 ? value : values.join(','))
  }
  return bounded(attributes, metadataBytes)
}

/** The same of the fields of a form, whose values are text and not bytes. Names in lower case. */
export function attributesOfForm(fields: ReadonlyMap<string, string>): Attributes {
  const attributes: Record<string, string> = {}
  let metadataBytes = 0
  for (const [name, text] of fields) {
    // There tags come as a document, and the list of access control under the name of its query.
    if (name === 'tagging' || name === tagsAttribute) continue
    if (name === 'acl') take(attributes, 'x-amz-acl', text)
    const value = Buffer.from(text).toString('latin1')
    if (!isFieldValue(value) && (name.startsWith(metadataPrefix) || isSystemHeader(name)))
      throw new Failure('invalid', `The field ${name} cannot stand in a header.`, { reason: 'InvalidArgument' })
    if (name.startsWith(metadataPrefix) && !/^[\w!#$%&'*+.^`|~-]+$/.test(name))
      throw new Failure('invalid', 'The name of a field cannot stand in a header.', { reason: 'InvalidArgument' })
    metadataBytes += take(attributes, name, value)
  }
  return bounded(attributes, metadataBytes)
}

/** Throws `invalid`, `unsupported` for a canned access control list that cannot be. */
export function checkAcl(acl: string): void {
  if (harmlessAcls.has(acl)) return
  if (otherAcls.has(acl))
    throw notThere(`This server has no access control lists, so ${acl} cannot be: grants say who may do what.`)
  throw new Failure('invalid', 'There is no canned access control list of that name.', { reason: 'InvalidArgument' })
}

/** Takes one header; gives the bytes of user metadata in it. */
function take(attributes: Record<string, string>, name: string, value: string): number {
  switch (name) {
    case 'content-type':
    case 'cache-control':
    case 'content-disposition':
    case 'content-language':
    case 'expires':
      if (value !== '') attributes[name] = value
      return 0
    case 'content-encoding': {
      // What was not framed is kept as it was sent.
      const codings = /aws-chunked/i.test(value) ? contentEncodingWithout(value) : value
      if (codings !== undefined && codings !== '') attributes[name] = codings
      return 0
    }
    default:
      if (!name.startsWith('x-amz-')) return 0
      if (!name.startsWith(metadataPrefix)) {
        takeAmazons(attributes, name, value)
        return 0
      }
      attributes[name] = value
      return name.length - metadataPrefix.length + value.length
  }
}

function takeAmazons(attributes: Record<string, string>, name: string, value: string): void {
  switch (name) {
    case tagsAttribute: {
      const tags = writeTags(parseTags(value))
      if (tags !== undefined) attributes[name] = tags
      return
    }
    case 'x-amz-storage-class':
      if (storageClasses.has(value)) return
      throw new Failure('invalid', 'There is no storage class of that name.', { reason: 'InvalidStorageClass' })
    case 'x-amz-acl':
      checkAcl(value)
      return
    case 'x-amz-website-redirect-location':
      throw notThere('This server does not redirect to x-amz-website-redirect-location.')
    case 'x-amz-write-offset-bytes':
      throw notThere('This server does not append to objects.')
    default:
      if (name.startsWith('x-amz-server-side-encryption'))
        throw notThere('This server does not encrypt what it stores. Leave x-amz-server-side-encryption out.')
      if (name.startsWith('x-amz-object-lock-')) throw notThere('This server does not have object lock.')
      if (name.startsWith('x-amz-grant-'))
        throw notThere('This server has no access control lists: grants say who may do what.')
  }
}

function bounded(attributes: Attributes, metadataBytes: number): Attributes {
  if (metadataBytes <= mostMetadataBytes) return attributes
  throw new Failure('invalid', `User metadata may have at most ${mostMetadataBytes} bytes.`, {
    reason: 'MetadataTooLarge',
    size: mostMetadataBytes,
  })
}

function isSystemHeader(name: string): boolean {
  return name === 'content-type' || systemHeaders.some((each) => each === name)
}

function notThere(message: string): Failure {
  return new Failure('unsupported', message, { reason: 'NotImplemented' })
}
