import { rootPath } from '../../core/path.js'
import { isDirectory } from '../refusals.js'
import type { PresignRequest } from '../store.js'
import type { S3Context } from './context.js'
import { fileKey, refuseName } from './keys.js'

/** `Store.presign`. Whether anything is there is found out by who uses the URL. */
export async function presign({ service }: S3Context, request: PresignRequest): Promise<URL> {
  const { method, path, expiresSeconds, headers, responses } = request
  refuseName(path)
  if (path === rootPath) throw isDirectory(path)
  const more = { ...(headers !== undefined && { headers }), ...(responses !== undefined && { responses }) }
  return await service.presign({ method, key: fileKey(path), expiresSeconds, ...more })
}
