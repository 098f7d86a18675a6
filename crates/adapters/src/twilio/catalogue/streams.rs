//! Media Streams.

use super::{Explanation, row};

pub(super) const ROWS: &[Explanation] = &[
    row(
        &[31901, 31902, 31903, 31904],
        "Twilio cannot open the audio stream to the gateway, or it broke",
        "check that the websocket address is public, on port 443, and that the gateway runs",
        "Twilio kann den Audiostrom zum Gateway nicht öffnen, oder er brach ab",
        "prüfen, dass die WebSocket-Adresse öffentlich auf Port 443 liegt und das Gateway läuft",
    ),
    row(
        &[31910],
        "TLS failed on the audio stream: wrong port, or a certificate Twilio does not accept",
        "use wss on a port that speaks TLS, with a public certificate and its full chain",
        "TLS schlug beim Audiostrom fehl: falscher Port oder ein Zertifikat, das Twilio nicht annimmt",
        "wss auf einem TLS-Port mit öffentlichem Zertifikat und ganzer Kette verwenden",
    ),
    row(
        &[31920],
        "the audio stream was refused: the answer was not a websocket's",
        "let the proxy pass websockets on (Upgrade), and use a stream address without a query",
        "der Audiostrom wurde abgewiesen: die Antwort war kein WebSocket",
        "den Proxy WebSockets weitergeben lassen (Upgrade); die Adresse darf keine Abfrage (?) enthalten",
    ),
    row(
        &[31921],
        "the gateway or a proxy closed the audio stream without a regular end",
        "see the call's log at that time; proxies need long timeouts for websockets",
        "Gateway oder Proxy hat den Audiostrom ohne ordentliches Ende geschlossen",
        "das Protokoll des Anrufs ansehen; Proxys brauchen lange Zeitgrenzen für WebSockets",
    ),
    row(
        &[31922, 31923],
        "the address of the audio stream is malformed or not wss",
        "set the public base URL to a full https address",
        "die Adresse des Audiostroms ist fehlerhaft oder nicht wss",
        "als öffentliche Adresse eine vollständige https-Adresse setzen",
    ),
    row(
        &[31924],
        "the websocket protocol of the audio stream was violated",
        "check the proxy between Twilio and the gateway",
        "beim Audiostrom wurde das WebSocket-Protokoll verletzt",
        "den Proxy zwischen Twilio und Gateway prüfen",
    ),
    row(
        &[31930],
        "Twilio could not get rid of the caller's audio: the gateway took it too slowly",
        "check the load of this machine and the network to it",
        "Twilio wurde den Ton des Anrufers nicht los: das Gateway nahm ihn zu langsam ab",
        "die Last dieses Rechners und das Netz dorthin prüfen",
    ),
    row(
        &[31931],
        "more than ten minutes of speech are queued at Twilio; what came after is lost",
        "report this to the makers of this program",
        "bei Twilio warten mehr als zehn Minuten Sprache; was danach kam, ist verloren",
        "dies den Herstellern dieses Programms melden",
    ),
    row(
        &[31940, 31941],
        "the stream names an unknown connector or track",
        "report the document to the makers of this program",
        "der Strom nennt einen unbekannten Connector oder Track",
        "das Dokument den Herstellern dieses Programms melden",
    ),
    row(
        &[31950, 31951],
        "Twilio could not read a message of the audio stream and dropped it",
        "report this to the makers of this program",
        "Twilio konnte eine Nachricht des Audiostroms nicht lesen und hat sie verworfen",
        "dies den Herstellern dieses Programms melden",
    ),
];
