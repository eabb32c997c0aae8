import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { FileWatch } from './watch.js'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'postern-watch-'))
})

afterEach(() => rmSync(directory, { recursive: true }))

it('tells of a file that is replaced as editors do it', async () => {
  const file = join(directory, 'postern.yaml')
  writeFileSync(file, 'old')
  let watch: FileWatch | undefined
  await new Promise<void>((resolve) => {
    watch = new FileWatch(resolve)
    watch.watch([file])
    writeFileSync(`${file}.new`, 'new')
    renameSync(`${file}.new`, file)
  })
  watch?.close()
  expect(watch).toBeDefined()
})

it('goes on where a file cannot be looked at: behind a file in place of a directory, behind a loop of links', () => {
  writeFileSync(join(directory, 'file'), '')
  const watch = new FileWatch(() => undefined)
  const unreachable = [
    join(directory, 'file', 'postern.yaml'),
    `/proc/self/fd/987654/x`,
    join(directory, 'x'.repeat(300)),
  ]
  expect(() => watch.watch(unreachable)).not.toThrow()
  watch.close()
})
