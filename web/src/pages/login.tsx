import { type FormEvent, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { ApiError, auth } from '../api/client';
import { LanguageSelect } from '../shell';
import { Button, Note } from '../ui/basics';
import { useTitle } from '../ui/hooks';

function reason(error: unknown): string {
  if (!(error instanceof ApiError) || error.isOffline) return 'login.offline';
  if (error.status === 429) return 'login.throttled';
  return error.status >= 500 ? 'login.offline' : 'login.refused';
}

export function LoginPage() {
  const { t } = useTranslation();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(auth.hasExpired() ? 'login.expired' : '');
  const password = useRef<HTMLInputElement>(null);
  useTitle(t('login.title'));

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const username = String(data.get('username') ?? '').trim();
    const secret = String(data.get('password') ?? '');
    if (!username || !secret) return setProblem('login.missing');
    setBusy(true);
    setProblem('');
    try {
      await auth.signIn(username, secret);
    } catch (error) {
      setProblem(reason(error));
      setBusy(false);
      password.current?.select();
    }
  };

  return (
    <main className="login">
      <form onSubmit={submit} noValidate>
        <div className="login-head">
          <img src="/favicon.svg" width="40" height="40" alt="" />
          <h1>{t('app.name')}</h1>
          <p className="muted">{t('login.lead')}</p>
        </div>
        {problem && <Note>{t(problem)}</Note>}
        <div className="field">
          <label htmlFor="username">{t('login.username')}</label>
          <input
            id="username"
            name="username"
            className="input"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            required
          />
        </div>
        <div className="field">
          <label htmlFor="password">{t('login.password')}</label>
          <input
            ref={password}
            id="password"
            name="password"
            className="input"
            type="password"
            autoComplete="current-password"
            required
          />
        </div>
        <Button type="submit" look="primary" disabled={busy}>
          {busy ? t('login.submitting') : t('login.submit')}
        </Button>
        <div className="login-foot">
          <LanguageSelect />
        </div>
      </form>
    </main>
  );
}
