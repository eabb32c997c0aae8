import { healthPath, readyPath } from '../protocol/admin/index.js'

/** Tells the targets of the pages that say whether the server is well: they are for everybody, and say nothing else. */
export function probePages(basePath: string): (target: string) => boolean {
  const pages = new Set([healthPath, readyPath].flatMap((page) => [page, basePath + page]))
  return (target) => pages.has(target.replace(/\?.*$/s, ''))
}
