// Runs before the first paint, so that a chosen theme does not flash into place.
// A file of its own: the content security policy forbids inline scripts.
try {
  const theme = localStorage.getItem('switchhook.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be blocked; the system's theme applies.
}
