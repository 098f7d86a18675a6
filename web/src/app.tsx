import { Component, type ReactNode, useSyncExternalStore } from 'react';
import { useTranslation } from 'react-i18next';
import { Link, Route, Switch } from 'wouter';
import { auth } from './api/client';
import { CallPage } from './pages/call/call';
import { CallsPage } from './pages/calls';
import { ExtensionsPage } from './pages/extensions';
import { HealthPage } from './pages/health';
import { LoginPage } from './pages/login';
import { MessagesPage } from './pages/messages';
import { routes } from './routes';
import { Shell } from './shell';
import { Blank, Button } from './ui/basics';
import { useTitle } from './ui/hooks';
import { Toasts } from './ui/toast';

export function App() {
  const signedIn = useSyncExternalStore(auth.subscribe, auth.get) !== null;
  return (
    <FaultBarrier>
      {signedIn ? (
        <Shell>
          <Switch>
            <Route path={routes.calls} component={CallsPage} />
            <Route path={routes.callPattern}>
              {(params: { id: string }) => <CallPage key={params.id} id={params.id} />}
            </Route>
            <Route path={routes.messages} component={MessagesPage} />
            <Route path={routes.extensions} component={ExtensionsPage} />
            <Route path={routes.health} component={HealthPage} />
            <Route component={NotFound} />
          </Switch>
        </Shell>
      ) : (
        <LoginPage />
      )}
      <Toasts />
    </FaultBarrier>
  );
}

function NotFound() {
  const { t } = useTranslation();
  useTitle(t('not_found.title'));
  return (
    <Blank
      wholePage
      title={t('not_found.title')}
      actions={<Link href={routes.calls}>{t('app.back_to_calls')}</Link>}
    >
      <p>{t('not_found.lead')}</p>
    </Blank>
  );
}

/** A fault of one page must not leave an empty window. */
class FaultBarrier extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override render() {
    return this.state.failed ? <Fault /> : this.props.children;
  }
}

function Fault() {
  const { t } = useTranslation();
  return (
    <main role="alert">
      <Blank
        wholePage
        title={t('error.crash_title')}
        actions={
          <Button look="primary" onClick={() => location.reload()}>
            {t('error.reload')}
          </Button>
        }
      >
        <p>{t('error.crash')}</p>
      </Blank>
    </main>
  );
}
