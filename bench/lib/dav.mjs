// The bodies that WebDAV requests carry, and what a listing must hold.
import { send, expectStatus, Wrong } from './http.mjs'
import { listedName, smallFile, tree, treeFolder } from './site.mjs'

const start = '<?xml version="1.0" encoding="utf-8"?>'
export const xml = { 'Content-Type': 'application/xml; charset="utf-8"' }

export const allprop = `${start}<propfind xmlns="DAV:"><allprop/></propfind>`
/** Five properties that clients which show folders ask for. */
export const named =
  `${start}<propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/><creationdate/>` +
  '<getetag/></prop></propfind>'
export const exclusiveLock =
  `${start}<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype>` +
  '<owner>bench</owner></lockinfo>'
export const lockHeaders = { ...xml, Depth: '0', Timeout: 'Second-3600' }
export const setColour =
  `${start}<propertyupdate xmlns="DAV:"><set><prop><colour xmlns="urn:postern:bench">green</colour></prop></set>` +
  '</propertyupdate>'
export const askColour = `${start}<propfind xmlns="DAV:"><prop><colour xmlns="urn:postern:bench"/></prop></propfind>`
export const hasColour = /colour[^<>]*>green</

/** @param {string} path @param {string} depth @param {string} [body] @returns {import('./load.mjs').Step} */
export const propfind = (path, depth, body = allprop) => ({
  method: 'PROPFIND',
  path,
  headers: { ...xml, Depth: depth },
  body,
})

/** The paths of a folder and its files. @param {string} folder ends with a slash @param {number} files */
export const folderMembers = (folder, files) => [
  folder,
  ...Array.from({ length: files }, (_, i) => folder + listedName(i)),
]

/** The paths of a tree. @param {string} folder ends with a slash */
export const treeMembers = (folder) => [
  folder,
  ...Array.from({ length: tree.folders }, (_, i) => `${folder}${treeFolder(i)}/`).flatMap((each) =>
    folderMembers(each, tree.filesEach),
  ),
]

/**
 * Asks for a listing and throws unless it holds every member exactly once and tells the length of every file.
 * @param {{ port: number }} server @param {import('./load.mjs').Step} step @param {readonly string[]} members
 * @returns {Promise<number>} its length in bytes
 */
export async function expectListing(server, step, members) {
  const answer = await send(server, step.method, step.path, step.headers, step.body)
  expectStatus(answer.status, [207], 'PROPFIND')
  const text = answer.body.toString()
  const found = [...text.matchAll(/<(?:[\w-]+:)?href[^>]*>([^<]*)</g)].map(([, href]) =>
    href.trim().replace(/^https?:\/\/[^/]+/, ''),
  )
  const listed = new Set(found)
  const absent = members.filter((member) => !listed.has(member)).length
  if (absent > 0 || found.length !== members.length)
    throw new Wrong(`${found.length} entries, ${absent} of ${members.length} members missing`)
  const files = members.filter((member) => !member.endsWith('/')).length
  const lengths = text.split(`>${smallFile.length}</`).length - 1
  if (lengths !== files) throw new Wrong(`the right length of ${lengths} of ${files} files`)
  return answer.body.length
}
