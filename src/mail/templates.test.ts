import { describe, expect, it } from 'vitest'
import { noticeValues } from './notice.js'
import { createTemplates, noticeNames } from './templates.js'

const all = (name: keyof typeof noticeValues, value: (key: string) => string): Record<string, string> =>
  Object.fromEntries(noticeValues[name].map((key) => [key, value(key)]))

describe('the templates that come with Postern', () => {
  it.each(noticeNames)('%s say everything that must be known, in text and HTML', (name) => {
    const { subject, text, html } = createTemplates().render(
      name,
      all(name, (key) => `<${key}>`),
    )
    expect(subject).not.toContain('{{')
    expect(text).not.toContain('{{')
    for (const key of noticeValues[name]) expect(`${subject}\n${text}`).toContain(`<${key}>`)
    expect(html).not.toMatch(/\{\{|<(?:user|link|server)>/)
    if (text.includes('<link>')) expect(html).toContain('href="&lt;link&gt;"')
  })

  it('let no value break out of the HTML or the subject', () => {
    const values = all('invitation', () => `"><script>alert(1)</script>\r\nBcc: all@example.org`)
    const { subject, html } = createTemplates().render('invitation', values)
    expect(html).not.toContain('<script')
    expect(html).not.toContain('""')
    expect(subject).not.toMatch(/[\r\n]/)
  })
})

describe('templates of files', () => {
  it('take the place of those that come with Postern, one by one', () => {
    const templates = createTemplates([
      { name: 'invitation.txt', content: 'Subject: Hello {{ user }}\r\n\r\nSee {{link}}\n' },
      { name: 'password-reset.html', content: '<b>{{user}}</b>' },
    ])
    const hello = templates.render('invitation', { user: '<ann>', link: 'https://a/b?c=d&e' })
    expect(hello.subject).toBe('Hello <ann>')
    expect(hello.text).toBe('See https://a/b?c=d&e\n')
    expect(hello.html).toContain('&lt;ann&gt;')
    const reset = templates.render('password-reset', { user: '<ann>' })
    expect(reset.html).toBe('<b>&lt;ann&gt;</b>')
    expect(reset.subject).toContain('<ann>')
  })

  it('do not fill in what a value holds', () => {
    const templates = createTemplates([{ name: 'invitation.txt', content: 'Subject: x\n{{user}}' }])
    expect(templates.render('invitation', { user: '{{link}}', link: 'secret' }).text).toBe('{{link}}')
  })

  it.each([
    ['hello.txt', 'Subject: x\n', 'is the template of no mail'],
    ['invitation.md', 'x', 'is the template of no mail'],
    ['invitation.txt', 'Hello {{user}}', 'the first line must be "Subject: …"'],
    ['drop.txt', 'Subject: {{password}}\n', 'there is no {{password}}'],
    ['drop.html', '{{ link }}', 'there is no {{link}}'],
  ])('that cannot work are refused: %s', (name, content, message) => {
    expect(() => createTemplates([{ name, content }])).toThrow(message)
  })
})
