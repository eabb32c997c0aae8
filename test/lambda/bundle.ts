import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unzipSync } from 'fflate'

/**
 * A new folder with what is in the zip of a function, as Lambda unpacks it: far from the packages that are installed here. The
 * caller removes it.
 */
export function unpackBundle(name: 'postern' | 'drop'): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bundle-'))
  const zip = readFileSync(new URL(`../../dist/lambda/${name}.zip`, import.meta.url))
  for (const [file, bytes] of Object.entries(unzipSync(zip))) writeFileSync(join(folder, file), bytes)
  return folder
}
