import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const folder = fileURLToPath(new URL('../../dist/program/', import.meta.url))
const importsOf = (file: string): readonly string[] =>
  Array.from(
    readFileSync(folder + file, 'utf8').matchAll(/^import (?:[^"]+ from )?"([^"]+)";$/gm),
    ([, from = '']) => from,
  )

describe('the program as it is built', () => {
  it('loads a few files and no package at its start: what only some configurations need is loaded when it is needed', () => {
    const files = new Set(['main.js'])
    const packages = new Set<string>()
    for (const file of files)
      for (const from of importsOf(file))
        if (from.startsWith('./')) files.add(from.slice(2))
        else if (!from.startsWith('node:')) packages.add(`${file}: ${from}`)
    expect([...packages]).toEqual([])
    expect(files.size).toBeLessThan(20)
    expect(files.size).toBeGreaterThan(1)
  })

  it('names the licence of every library in it', () => {
    const licences = readFileSync(`${folder}LICENSES.txt`, 'utf8')
    for (const name of ['commander', 'mime-types', 'pino', 'saxes', 'zod'])
      expect(licences).toMatch(new RegExp(`^${name} [\\d.]+ \\((?:MIT|ISC)\\)$`, 'm'))
  })

  it('is of names and lines that a stack trace can show', () => {
    const lines = readdirSync(folder).flatMap((file) =>
      file.endsWith('.js') ? readFileSync(folder + file, 'utf8').split('\n') : [],
    )
    expect(lines.length).toBeGreaterThan(10_000)
    expect(lines.some((line) => /^(?:async )?function serveAlone\(/.test(line))).toBe(true)
  })
})
