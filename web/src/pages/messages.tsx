import { MessageSquareText } from 'lucide-react';
import { useTranslation } from 'react-i18next';
import { Link } from 'wouter';
import { useMessages } from '../api/queries';
import type { Message } from '../api/types';
import { timeOfDay } from '../lib/format';
import { routes } from '../routes';
import {
  Badge,
  type BadgeTone,
  Blank,
  Button,
  CopyText,
  Failure,
  Loading,
  Time,
  useWord,
} from '../ui/basics';
import { useLocale, useTitle } from '../ui/hooks';

export function MessagesPage() {
  const { t } = useTranslation();
  const messages = useMessages();
  const items = messages.data?.pages.flatMap((page) => page.items) ?? [];
  useTitle(t('messages.title'));
  return (
    <>
      <div className="page-head">
        <h1>{t('messages.title')}</h1>
        <span className="muted">{t('messages.lead')}</span>
      </div>
      <section className="panel" aria-label={t('messages.title')}>
        {messages.isPending ? (
          <Loading lines={5} />
        ) : messages.isError && items.length === 0 ? (
          <Failure error={messages.error} retry={() => void messages.refetch()} />
        ) : items.length === 0 ? (
          <Blank icon={<MessageSquareText size={24} aria-hidden />} title={t('messages.empty_title')}>
            <p>{t('messages.empty')}</p>
          </Blank>
        ) : (
          <ul className="messages messages-wide">
            {items.map((message) => (
              <MessageItem key={message.id} message={message} withCall />
            ))}
          </ul>
        )}
      </section>
      {messages.hasNextPage && (
        <div className="more">
          <Button disabled={messages.isFetchingNextPage} onClick={() => void messages.fetchNextPage()}>
            {messages.isFetchingNextPage ? t('app.loading_more') : t('app.more')}
          </Button>
        </div>
      )}
    </>
  );
}

function tone(state: string): BadgeTone {
  if (state === 'accepted' || state === 'delivered') return 'good';
  return state === 'failed' ? 'bad' : 'wait';
}

export function MessageItem({ message, withCall }: { message: Message; withCall?: boolean }) {
  const { t } = useTranslation();
  const locale = useLocale();
  const word = useWord();
  const settled = tone(message.state) !== 'wait';
  return (
    <li className="message" data-state={message.state}>
      <div className="message-head">
        <Badge tone={tone(message.state)} live={!settled}>
          {word('messages.state', message.state)}
        </Badge>
        {settled && message.updated_at && (
          <span className="muted small">
            <Time at={message.updated_at} />
          </span>
        )}
        {message.next_attempt_at && !settled && (
          <span className="muted small">
            {t('messages.next_try', { at: timeOfDay(message.next_attempt_at, locale) })}
          </span>
        )}
        <span className="end muted small">
          {word('channel', message.channel)}
          {message.attempts != null &&
            message.attempts > 1 &&
            ` · ${t('messages.column.tries')}: ${message.attempts}`}
        </span>
      </div>
      <p dir="auto" className="message-text">
        {message.text}
      </p>
      {message.error && <p className="message-error">{message.error}</p>}
      <div className="message-foot muted small">
        <span>
          {t('messages.column.created')} <Time at={message.created_at} />
        </span>
        {message.to && <bdi dir="ltr">{message.to}</bdi>}
        <CopyText text={message.id} />
        {withCall && message.call_id && (
          <Link href={routes.call(message.call_id)}>{t('messages.open_call')}</Link>
        )}
      </div>
    </li>
  );
}
