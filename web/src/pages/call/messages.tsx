import type { UseQueryResult } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { ApiError } from '../../api/client';
import type { Message } from '../../api/types';
import { Failure, Loading } from '../../ui/basics';
import { MessageItem } from '../messages';

export function MessagesOfCall({ query }: { query: UseQueryResult<Message[]> }) {
  const { t } = useTranslation();
  return (
    <section className="panel" aria-labelledby="call-messages-title">
      <div className="panel-head">
        <h2 id="call-messages-title">{t('messages.of_call')}</h2>
      </div>
      {query.isPending ? (
        <Loading lines={2} />
      ) : query.error instanceof ApiError && query.error.isForbidden ? (
        <p className="panel-body muted">{t('messages.forbidden')}</p>
      ) : query.isError ? (
        <Failure error={query.error} retry={() => void query.refetch()} />
      ) : query.data.length === 0 ? (
        <p className="panel-body muted">{t('messages.none_of_call')}</p>
      ) : (
        <ul className="messages">
          {query.data.map((message) => (
            <MessageItem key={message.id} message={message} />
          ))}
        </ul>
      )}
    </section>
  );
}
