import { type FormEvent, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { useExtensions, useHangup, useStartCall, useTransfer } from '../api/queries';
import type { CallRow } from '../api/types';
import { isTarget, shortTarget, tidyTarget } from '../lib/party';
import { Button, Note, useActionError } from '../ui/basics';
import { Dialog } from '../ui/dialog';
import { toast } from '../ui/toast';

function RegisteredSuggestions({ id, onPick }: { id: string; onPick(extension: string): void }) {
  const { t } = useTranslation();
  const registered = (useExtensions().data?.items ?? []).filter((row) => row.registered);
  if (registered.length === 0) return null;
  return (
    <div className="suggestions">
      <span id={id} className="field-hint">
        {t('start_call.suggestions')}
      </span>
      <div className="suggestion-list">
        {registered.slice(0, 6).map((row) => (
          <Button key={row.extension} small aria-describedby={id} onClick={() => onPick(row.extension)}>
            {row.extension}
          </Button>
        ))}
      </div>
    </div>
  );
}

export function StartCallDialog({
  initial = '',
  onClose,
}: {
  initial?: string;
  onClose(callId?: string): void;
}) {
  const { t } = useTranslation();
  const errorText = useActionError();
  const start = useStartCall();
  const [phone, setPhone] = useState(initial);
  const [invalid, setInvalid] = useState(false);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const target = tidyTarget(phone);
    if (!isTarget(target)) return setInvalid(true);
    start.mutate(target, {
      onSuccess: (answer) => {
        toast(t('start_call.started', { phone: target }));
        onClose(answer.call_id);
      },
    });
  };

  return (
    <Dialog title={t('start_call.title')} onClose={() => onClose()}>
      <form onSubmit={submit} noValidate className="form">
        <div className="field">
          <label htmlFor="phone">{t('start_call.phone')}</label>
          <input
            id="phone"
            className="input"
            type="text"
            dir="ltr"
            autoComplete="off"
            spellCheck={false}
            value={phone}
            aria-invalid={invalid}
            aria-describedby="phone-hint"
            onChange={(event) => {
              setPhone(event.target.value);
              setInvalid(false);
            }}
          />
          <p id="phone-hint" className="field-hint">
            {t('start_call.phone_hint')}. {t('start_call.assistant_hint')}
          </p>
        </div>
        <RegisteredSuggestions id="start-suggestions" onPick={setPhone} />
        {invalid && <Note>{t('start_call.invalid')}</Note>}
        {start.isError && <Note>{errorText(start.error)}</Note>}
        <div className="dialog-actions">
          <Button onClick={() => onClose()}>{t('app.cancel')}</Button>
          <Button type="submit" look="primary" disabled={start.isPending}>
            {start.isPending ? t('start_call.submitting') : t('start_call.submit')}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

type Callish = Pick<CallRow, 'id' | 'caller' | 'caller_name' | 'status'>;

export function EndCallDialog({ call, onClose }: { call: Callish; onClose(): void }) {
  const { t } = useTranslation();
  const errorText = useActionError();
  const hangup = useHangup();
  const caller = call.caller_name || shortTarget(call.caller) || t('party.caller');
  const lead = call.status === 'with_agent' ? 'end_call.lead_agent' : 'end_call.lead';
  const submit = (event: FormEvent) => {
    event.preventDefault();
    hangup.mutate(call.id, {
      onSuccess: () => {
        toast(t('end_call.done'));
        onClose();
      },
    });
  };
  return (
    <Dialog title={t('end_call.title')} onClose={onClose}>
      <form onSubmit={submit} className="form">
        <p>{t(lead, { caller })}</p>
        {hangup.isError && <Note>{errorText(hangup.error)}</Note>}
        <div className="dialog-actions">
          <Button onClick={onClose}>{t('app.cancel')}</Button>
          <Button type="submit" look="danger-primary" disabled={hangup.isPending}>
            {hangup.isPending ? t('end_call.submitting') : t('end_call.submit')}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

export function TransferDialog({ call, onClose }: { call: Callish; onClose(): void }) {
  const { t } = useTranslation();
  const errorText = useActionError();
  const transfer = useTransfer();
  const [target, setTarget] = useState('');
  const [department, setDepartment] = useState('');
  const [problem, setProblem] = useState('');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const to = tidyTarget(target);
    const name = department.trim();
    if (!to && !name) return setProblem('transfer.missing');
    if (to && name) return setProblem('transfer.both');
    if (to && !isTarget(to)) return setProblem('start_call.invalid');
    setProblem('');
    transfer.mutate(to ? { id: call.id, target: to } : { id: call.id, department: name }, {
      onSuccess: () => {
        toast(t('transfer.done'));
        onClose();
      },
    });
  };
  return (
    <Dialog title={t('transfer.title')} onClose={onClose}>
      <form onSubmit={submit} noValidate className="form">
        <p className="muted">{t('transfer.lead')}</p>
        <div className="field">
          <label htmlFor="transfer-target">{t('transfer.target')}</label>
          <input
            id="transfer-target"
            className="input"
            dir="ltr"
            autoComplete="off"
            spellCheck={false}
            value={target}
            onChange={(event) => setTarget(event.target.value)}
          />
        </div>
        <RegisteredSuggestions id="transfer-suggestions" onPick={setTarget} />
        <div className="field">
          <label htmlFor="transfer-department">{t('transfer.department')}</label>
          <input
            id="transfer-department"
            className="input"
            autoComplete="off"
            aria-describedby="transfer-department-hint"
            value={department}
            onChange={(event) => setDepartment(event.target.value)}
          />
          <p id="transfer-department-hint" className="field-hint">
            {t('transfer.department_hint')}
          </p>
        </div>
        {problem && <Note>{t(problem)}</Note>}
        {transfer.isError && <Note>{errorText(transfer.error)}</Note>}
        <div className="dialog-actions">
          <Button onClick={onClose}>{t('app.cancel')}</Button>
          <Button type="submit" look="primary" disabled={transfer.isPending}>
            {transfer.isPending ? t('transfer.submitting') : t('transfer.submit')}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
