import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { loadConfig } from '../src/config/load.js'
import { noticeValues } from '../src/mail/notice.js'
import { createTemplates } from '../src/mail/templates.js'

const page = readFileSync(new URL('../docs/mail.md', import.meta.url), 'utf8')

function blocks(language: string): readonly string[] {
  return [...page.matchAll(new RegExp('^```' + language + '\\n([^]*?)^```$', 'gm'))].map(([, text = '']) => text)
}

it('has settings that are understood', () => {
  const examples = blocks('yaml').map((text) => (parse(text) as { readonly mail: unknown }).mail)
  expect(examples).toHaveLength(4)
  const loaded = examples.map(
    (value) =>
      loadConfig({ directory: '/nowhere', file: undefined, environment: {}, flags: { mail: { flag: 'mail', value } } })
        .mail,
  )
  expect(loaded.map((mail) => [mail?.smtp?.tls, mail?.ses?.region, mail?.templates])).toEqual([
    ['required', undefined, undefined],
    ['never', undefined, undefined],
    [undefined, 'eu-central-1', undefined],
    ['required', undefined, '/nowhere/mail'],
  ])
})

it('names every text with all its values, and shows one that works', () => {
  const rows = [...page.matchAll(/^\| `([a-z-]+)\.txt`, `\1\.html`\s*\| (.*?)\s*\|$/gm)]
  const named = rows.map(([, name = '', values = '']) => [name, [...values.matchAll(/`(\w+)`/g)].map(([, one]) => one)])
  expect(Object.fromEntries(named)).toEqual(noticeValues)
  const [content = ''] = blocks('text')
  const values = { user: 'ann', link: 'https://a.example/x', server: 'a.example', expires: 'soon', invitedBy: 'bob' }
  expect(createTemplates([{ name: 'invitation.txt', content }]).render('invitation', values)).toMatchObject({
    subject: 'Welcome to a.example',
    text: 'bob has made the account ann for you: https://a.example/x\n',
  })
})
