import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { configurations } from './buckets/bucket-configuration.js'

const page = readFileSync(new URL('../../../docs/s3.md', import.meta.url), 'utf8')
const operations = readFileSync(new URL('operations.ts', import.meta.url), 'utf8')

/** The first cells of the table below a heading. */
function firstCells(heading: string): readonly string[] {
  const [, after = ''] = page.split(`\n${heading}\n`)
  const [section = ''] = after.split(/\n#/)
  const rows = section.split('\n').filter((line) => line.startsWith('|'))
  return rows.slice(2).map((row) => row.split('|')[1]?.trim().replaceAll('`', '') ?? '')
}

describe('docs/s3.md', () => {
  it('lists the operations that there are, and no others', () => {
    const [, union = ''] = /export type OperationName =\n((?: {2}\| '\w+'\n)+)/.exec(operations) ?? []
    const names = [...union.matchAll(/'(\w+)'/g)].map(([, name]) => name)
    expect(names.length).toBeGreaterThan(30)
    expect(firstCells('## Operations')).toEqual(names)
  })

  it('lists the fixed answers that there are', () => {
    expect(firstCells('### Fixed answers')).toEqual(configurations)
  })
})
