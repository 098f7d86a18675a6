//! `switchhook serve` and `switchhook migrate`.

use tokio_util::sync::CancellationToken;

use super::{Failure, SourceArgs, runtime, show, start_logging};
use crate::app;
use crate::config::Config;
use switchhook_store::Access;

pub(super) fn run(source: SourceArgs) -> Result<(), Failure> {
    let config = source.load()?;
    start_logging("info");
    let runtime = runtime()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone()));
        app::run(config, stop)
            .await
            .map_err(|error| Failure::run(format!("{error:#}")))
    })
}

pub(super) fn migrate(source: SourceArgs) -> Result<(), Failure> {
    let config = source.load()?;
    runtime()?.block_on(async {
        let store = app::open_store(&config, Access::Tool)
            .await
            .map_err(Failure::run)?;
        store.close().await;
        show(format!(
            "{} has this version's schema",
            config.data.database
        ));
        Ok(())
    })
}

/// SIGINT and SIGTERM: stop taking calls, let the running ones end.
async fn stop_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        tracing::error!("signals cannot be received: stop the program by SIGKILL");
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping; a second signal stops at once");
    stop.cancel();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::warn!("stopped by a second signal: open calls are closed at the next start");
    std::process::exit(1);
}

/// Printed when the demo is up.
pub(super) fn demo_card(config: &Config, lab: Option<&str>) -> String {
    let sip = config.sip.bind;
    let mut card = format!(
        "\n  Switchhook demo is up.\n\n  \
         console    http://{http}   user demo, password demo\n  \
         API        http://{http}/api/docs\n  \
         assistant  dial sip:assistant@{sip} with any softphone on this machine, no password\n",
        http = config.http.bind,
    );
    for (extension, account) in &config.extensions {
        card.push_str(&format!(
            "  extension  {extension}  password {}  server {sip}  ({})\n",
            account.password.expose(),
            account.name.as_deref().unwrap_or("unnamed"),
        ));
    }
    if let Some(lab) = lab {
        card.push_str(&format!(
            "\n  call it: {lab}  by microphone, a file or typed words, in any browser\n"
        ));
    }
    card.push_str(
        "\n  No softphone: target/release/switchhook lab call --say e2e/speech/human-a.wav\n",
    );
    card
}
