import { Failure } from '../core/failure.js'
import { builtInTemplates } from './built-in-templates.js'
import { noticeValues } from './notice.js'
import type { NoticeName } from './notice.js'

/** A template: `{{name}}` stands for a value, in `html` with its special characters escaped. */
export interface Template {
  readonly subject: string
  readonly text: string
  readonly html: string
}

export type Rendered = Template

export interface Templates {
  /** Values that are missing are empty. */
  render(name: NoticeName, values: Readonly<Record<string, string>>): Rendered
}

/** A file of a template: `invitation.txt`, whose first line is `Subject: …`, or `invitation.html`. */
export interface TemplateFile {
  readonly name: string
  readonly content: string
}

export const noticeNames = Object.keys(noticeValues) as readonly NoticeName[]

/**
 * The templates that come with Postern, with those in their place that files hold. Throws `invalid` for a file that belongs to no
 * notice, a text without a subject, or a value that the notice does not have.
 */
export function createTemplates(files: readonly TemplateFile[] = []): Templates {
  const templates = new Map<NoticeName, Template>(noticeNames.map((name) => [name, builtInTemplates[name]]))
  for (const file of files) override(templates, file)
  return {
    render(name, values) {
      const { subject, text, html } = templates.get(name) ?? builtInTemplates[name]
      return {
        // A subject is one line, whatever a value holds.
        subject: filled(subject, values, (value) => value.replace(/[\p{C}\s]+/gu, ' ')),
        text: filled(text, values, (value) => value),
        html: filled(html, values, escaped),
      }
    },
  }
}

function override(templates: Map<NoticeName, Template>, { name: file, content }: TemplateFile): void {
  const [, stem, ending] = /^(.+)\.(txt|html)$/.exec(file) ?? []
  const name = noticeNames.find((one) => one === stem)
  const known = name === undefined ? undefined : templates.get(name)
  if (name === undefined || known === undefined)
    throw new Failure(
      'invalid',
      `${file} is the template of no mail. There are: ${noticeNames.join(', ')}, each as .txt and .html.`,
    )
  for (const [, value = ''] of content.matchAll(placeholder))
    if (!(noticeValues[name] as readonly string[]).includes(value))
      throw new Failure('invalid', `${file}: there is no {{${value}}}. There are: ${noticeValues[name].join(', ')}.`)
  if (ending === 'html') {
    templates.set(name, { ...known, html: content })
    return
  }
  const [, subject, text] = /^Subject:[ \t]*([^\r\n]+)\r?\n(?:\r?\n)?([^]*)$/.exec(content) ?? []
  if (subject === undefined || text === undefined)
    throw new Failure('invalid', `${file}: the first line must be "Subject: …".`)
  templates.set(name, { ...known, subject, text })
}

const placeholder = /\{\{\s*([A-Za-z0-9]+)\s*\}\}/g

function filled(template: string, values: Readonly<Record<string, string>>, shown: (value: string) => string): string {
  return template.replace(placeholder, (_, name: string) => shown(values[name] ?? ''))
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escaped(value: string): string {
  return value.replace(/[&<>"']/g, (character) => entities[character] ?? '')
}
