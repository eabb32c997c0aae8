import type { Catalog } from './catalog.js'
import { listUploads } from './list-uploads.js'
import { partRecords } from './upload-state.js'
import type { StorePath } from '../core/path.js'

/** The bytes of all parts of uploads for files below a path. */
export async function unfinishedBytes(catalog: Catalog, tree: StorePath): Promise<number> {
  let bytes = 0
  for await (const uploads of listUploads(catalog, tree, {}))
    for (const { id } of uploads)
      for await (const parts of partRecords(catalog, id)) for (const { size } of parts) bytes += size
  return bytes
}
