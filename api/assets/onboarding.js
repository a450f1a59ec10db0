// Stripe's form of onboarding in the page that has a place for it. Stripe's own loader does the work; this says with what,
// asks the server for the secret of a session each time Stripe's script needs one, and shows the way to Stripe's own page when
// that fails.

const form = document.getElementById('onboarding');
const { publishableKey, stripeScript, loader } = form.dataset;

function sayThatItFailed() {
  document.getElementById('onboarding-problem').hidden = false;
}

async function fetchClientSecret() {
  const answer = await fetch('/payouts/account-session', { method: 'POST', headers: { accept: 'application/json' } });
  if (!answer.ok) {
    sayThatItFailed();
    throw new Error(`no session: ${answer.status}`);
  }
  const { client_secret: clientSecret } = await answer.json();
  return clientSecret;
}

function load(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = address;
    script.addEventListener('load', resolve);
    script.addEventListener('error', () => reject(new Error(`${address} cannot be loaded`)));
    document.head.append(script);
  });
}

// Stripe's script knows hexadecimal and rgb() colours; the browser's own may be in any notation.
function rgb(color) {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d');
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
  return `rgb(${red}, ${green}, ${blue})`;
}

function appearance() {
  const { backgroundColor, color } = getComputedStyle(document.documentElement);
  const primary = getComputedStyle(document.querySelector('form .btn')).getPropertyValue('--color-primary');
  return { variables: { colorBackground: rgb(backgroundColor), colorText: rgb(color), colorPrimary: rgb(primary) } };
}

try {
  await load(stripeScript);
  const { loadConnectAndInitialize } = await import(loader);
  const stripe = loadConnectAndInitialize({ publishableKey, fetchClientSecret, appearance: appearance() });
  const onboarding = stripe.create('account-onboarding');
  // What was given shows in the account's status, not in that the form was left.
  onboarding.setOnExit(() => location.assign('/payouts'));
  onboarding.setOnLoadError(sayThatItFailed);
  form.append(onboarding);
} catch (error) {
  console.warn(error);
  sayThatItFailed();
}
