import { createTransport } from 'nodemailer'
import { Failure } from '../core/failure.js'
import type { AwsClient } from '../store/aws/aws-client.js'
import type { Mail, MailTransport } from './mail.js'

/** Amazon SES (API v2, `SendEmail` with raw content). The role needs `ses:SendEmail` for the identity of `from`, which is a mailbox with a display name or without. */
export function openSes(client: AwsClient, from: string): MailTransport {
  const composer = createTransport({ streamTransport: true, buffer: true, newline: '\r\n', disableFileAccess: true, disableUrlAccess: true }) // prettier-ignore
  return {
    async send({ to, subject, text, html }: Mail) {
      const { message } = await composer.sendMail({ from, to, subject, text, html })
      if (!Buffer.isBuffer(message)) throw new Failure('unavailable', 'The message was not put together.')
      const { status, code } = await client.send({
        method: 'POST',
        path: '/v2/email/outbound-emails',
        headers: { 'content-type': 'application/json' },
        body: [
          Buffer.from(
            JSON.stringify({
              Destination: { ToAddresses: [to] },
              Content: { Raw: { Data: message.toString('base64') } },
            }),
          ),
        ],
      })
      if (status < 300) return
      const said = code ?? String(status)
      throw finalCodes.has(said)
        ? new Failure('invalid', `SES refuses the message (${said}).`)
        : new Failure(
            'unavailable',
            said === 'AccessDeniedException'
              ? 'SES refuses the sender: the role needs ses:SendEmail for the identity of mail.from.'
              : `SES does not take messages now (${said}).`,
          )
    },
    close() {
      composer.close()
      client.close()
    },
  }
}

/** What sending again does not change. */
const finalCodes = new Set(['BadRequestException', 'MessageRejected', 'NotFoundException'])
