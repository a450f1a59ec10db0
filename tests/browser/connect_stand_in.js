// Stands in for Stripe's Connect.js: makes the element of onboarding, which shows whose session it was given, and a button
// that leaves it. Writes a style into the page, as Stripe's does.

class AccountOnboarding extends HTMLElement {
  connectedCallback() {
    this.text = this.appendChild(document.createElement('p'));
    this.text.setAttribute('style', 'font-style: italic');
    this.button = this.appendChild(document.createElement('button'));
    this.button.textContent = 'Leave Stripe’s form';
  }

  async setConnector({ publishableKey, fetchClientSecret }) {
    const secret = await fetchClientSecret();
    this.text.textContent = `Stripe’s form with ${publishableKey} and ${secret.slice(0, 11)}`;
  }

  setOnExitInternalOnly(leave) {
    this.button.addEventListener('click', leave);
  }

  setOnLoadErrorInternalOnly() {}
}

customElements.define('stripe-connect-account-onboarding', AccountOnboarding);
globalThis.StripeConnect = { init: (options) => ({ connect: options }) };
