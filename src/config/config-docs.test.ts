import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { configDocs } from './config-docs.js'
import { configKeys, configSchema } from './schema.js'

const docs = configDocs()

describe('docs/config.md', () => {
  it('is what the schema says (npm run docs writes it anew)', () => {
    expect(readFileSync(new URL('../../docs/config.md', import.meta.url), 'utf8')).toBe(docs)
  })

  it.each(configKeys)('describes %s with an example that is valid', (key) => {
    const section = docs.split(`\n## ${key}\n`)[1]?.split('\n## ')[0] ?? ''
    expect(section).not.toContain('undefined')
    const example = /```yaml\n([\s\S]*?)```/.exec(section)?.[1] ?? ''
    expect(Object.keys(parse(example) as object)).toEqual([key])
    expect(configSchema.safeParse(parse(example)).error?.issues ?? []).toEqual([])
  })
})
