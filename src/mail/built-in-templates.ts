import type { NoticeName } from './notice.js'
import type { Template } from './templates.js'

/** What is sent where nobody has written anything else. */
export const builtInTemplates: Readonly<Record<NoticeName, Template>> = {
  invitation: {
    subject: 'Your account at {{server}}',
    ...written(
      ['{{invitedBy}} has made the account {{user}} for you at {{server}}.', 'Choose a password here:'],
      ['The link works once, until {{expires}}. Nobody but you should open it.'],
      'Choose a password',
    ),
  },
  'password-reset': {
    subject: 'A new password for {{user}} at {{server}}',
    ...written(
      ['Somebody at {{address}} asked for a new password for the account {{user}} at {{server}}.', 'Set it here:'],
      ['The link works once, until {{expires}}. If it was not you, do nothing: the old password goes on working.'],
      'Set a new password',
    ),
  },
  'password-changed': {
    subject: 'The password of {{user}} at {{server}} was changed',
    ...written(
      [
        'The password of the account {{user}} at {{server}} was changed at {{time}}, from {{address}}.',
        'If it was not you, tell the administrator at once.',
      ],
      [],
    ),
  },
  drop: {
    subject: 'Something arrived at {{drop}}',
    ...written(
      [
        '{{sender}} has dropped {{size}} at {{drop}} of {{server}}, at {{time}}.',
        'It lies at {{key}}.',
        'SHA-256: {{sha256}}',
      ],
      [],
    ),
  },
}

/** Paragraphs before and after the link, where there is one. */
function written(before: readonly string[], after: readonly string[], linkText?: string): Omit<Template, 'subject'> {
  const link = linkText === undefined ? [] : ['{{link}}']
  const paragraph = (text: string): string => `<p style="margin:0 0 16px">${text}</p>`
  const button = `<p style="margin:24px 0"><a href="{{link}}" style="background:#0b5cad;border-radius:6px;color:#ffffff;display:inline-block;padding:12px 20px;text-decoration:none">${linkText ?? ''}</a></p><p style="color:#555555;font-size:13px;margin:0 0 16px;word-break:break-all">{{link}}</p>`
  return {
    text: `${[...before, ...link, ...after].join('\n\n')}\n`,
    html: [
      '<!doctype html>',
      '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"></head>',
      '<body style="background:#f4f5f7;color:#1b1f24;font:16px/1.5 sans-serif;margin:0;padding:24px">',
      '<div style="background:#ffffff;border-radius:8px;margin:0 auto;max-width:560px;padding:32px;word-break:break-word">',
      ...before.map(paragraph),
      ...(linkText === undefined ? [] : [button]),
      ...after.map(paragraph),
      '</div></body></html>',
      '',
    ].join('\n'),
  }
}
