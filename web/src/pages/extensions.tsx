import { Headset, Phone } from 'lucide-react';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { useLocation } from 'wouter';
import { useExtensions } from '../api/queries';
import type { ExtensionRow } from '../api/types';
import { between, spokenDuration } from '../lib/format';
import { routes } from '../routes';
import { Badge, Blank, Button, Failure, Loading } from '../ui/basics';
import { useMayAct, useNow, useTitle } from '../ui/hooks';
import { StartCallDialog } from './dialogs';

export function ExtensionsPage() {
  const { t } = useTranslation();
  const [, navigate] = useLocation();
  const query = useExtensions();
  const [calling, setCalling] = useState<string | null>(null);
  useTitle(t('extensions.title'));
  const items = query.data?.items ?? [];
  return (
    <>
      <div className="page-head">
        <h1>{t('extensions.title')}</h1>
        <span className="muted">{t('extensions.lead')}</span>
      </div>
      <section className="panel" aria-label={t('extensions.title')}>
        {query.isPending ? (
          <Loading lines={3} />
        ) : query.isError && items.length === 0 ? (
          <Failure error={query.error} retry={() => void query.refetch()} />
        ) : items.length === 0 ? (
          <Blank icon={<Headset size={24} aria-hidden />} title={t('extensions.empty_title')}>
            <p>{t('extensions.empty')}</p>
          </Blank>
        ) : (
          <table className="table extensions">
            <thead>
              <tr>
                <th scope="col">{t('extensions.column.extension')}</th>
                <th scope="col">{t('extensions.column.state')}</th>
                <th scope="col">{t('extensions.column.contact')}</th>
                <th scope="col" className="number">
                  {t('extensions.column.expires')}
                </th>
                <th scope="col">
                  <span className="visually-hidden">{t('extensions.column.action')}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {items.map((row) => (
                <Row key={row.extension} row={row} onCall={setCalling} />
              ))}
            </tbody>
          </table>
        )}
      </section>
      {calling !== null && (
        <StartCallDialog
          initial={calling}
          onClose={(id) => {
            setCalling(null);
            if (id) navigate(routes.call(id));
          }}
        />
      )}
    </>
  );
}

function Row({ row, onCall }: { row: ExtensionRow; onCall(extension: string): void }) {
  const { t } = useTranslation();
  const now = useNow();
  const mayAct = useMayAct();
  const expires = row.contacts.find((contact) => contact.expires_at)?.expires_at;
  return (
    <tr>
      <td>
        <strong>{row.extension}</strong> {row.display_name && <bdi className="muted">{row.display_name}</bdi>}
      </td>
      <td>
        <Badge tone={row.registered ? 'good' : 'quiet'}>
          {t(row.registered ? 'extensions.registered' : 'extensions.unregistered')}
        </Badge>
      </td>
      <td className="cell-contact">
        {row.registered ? (
          row.contacts.map((contact) => (
            <div key={contact.uri}>
              <code dir="ltr">{contact.uri}</code>{' '}
              {contact.user_agent && <span className="muted small">{contact.user_agent}</span>}
            </div>
          ))
        ) : (
          <span className="muted small">{t('extensions.cure')}</span>
        )}
      </td>
      <td className="cell-expires number muted">
        {row.registered &&
          expires &&
          t('extensions.expires_in', {
            length: spokenDuration(between(new Date(now).toISOString(), expires, now)),
          })}
      </td>
      <td className="number">
        <Button
          small
          disabled={!row.registered || !mayAct}
          aria-label={t('extensions.call', { extension: row.extension })}
          onClick={() => onCall(row.extension)}
        >
          <Phone size={14} aria-hidden />
          {t('extensions.column.action')}
        </Button>
      </td>
    </tr>
  );
}
