// The action of a person: keys, buttons, sliders, the mouse on the picture of the environment, and a gamepad.

const LABELS = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Space: "space" };
const TWINS = { KeyW: "ArrowUp", KeyA: "ArrowLeft", KeyS: "ArrowDown", KeyD: "ArrowRight" };
const DEAD_ZONE = 0.15; // of a gamepad's stick

export class Hand {
  // actions: description by the server. send: called with a new action. box: element for the inputs.
  constructor(actions, send, box) {
    Object.assign(this, { actions, send, box, held: new Set(), last: [...actions.idle], sent: "" });
    box.replaceChildren(...(actions.kind === "discrete" ? this.buttons() : this.axes()));
    this.show(this.last);
  }

  get sizes() {
    return this.actions.kind === "multi" ? this.actions.classes : Array(this.actions.width).fill(null);
  }

  buttons() {
    return this.actions.choices.map((choice, index) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: choice.name });
      button.append(...choice.keys.map((key) => Object.assign(document.createElement("kbd"), { textContent: label(key) })));
      button.addEventListener("pointerdown", () => this.set([index]));
      for (const name of ["pointerup", "pointerleave", "pointercancel"]) button.addEventListener(name, () => this.rest());
      button.addEventListener("click", (event) => event.detail === 0 && this.set([index])); // by keyboard: until the next
      return button;
    });
  }

  axes() {
    this.sliders = this.sizes.map((size, index) => {
      const [low, high, step] = size ? [0, size - 1, 1] : [-1, 1, 0.01];
      const slider = Object.assign(document.createElement("input"), { type: "range" });
      Object.assign(slider, { min: low, max: high, step, value: this.last[index], ariaLabel: `action ${index}` });
      slider.addEventListener("input", () => this.set(this.sliders.map((one) => Number(one.value))));
      return slider;
    });
    const center = Object.assign(document.createElement("button"), { type: "button", textContent: "Zero" });
    center.addEventListener("click", () => this.set([...this.actions.idle]));
    return [...this.sliders.map((slider, index) => this.axis(slider, index)), center];
  }

  axis(slider, index) {
    const row = Object.assign(document.createElement("label"), { className: "axis", textContent: `action ${index} ` });
    const keys = this.actions.kind === "continuous" ? [["ArrowLeft", "ArrowRight"], ["ArrowDown", "ArrowUp"]][index] : null;
    const shown = (keys || []).map((key) => Object.assign(document.createElement("kbd"), { textContent: label(key) }));
    slider.output = document.createElement("output");
    row.append(...shown, slider, slider.output);
    return row;
  }

  // Return whether the action uses this key.
  down(code) {
    const key = TWINS[code] || code;
    if (!this.uses(key)) return false;
    this.held.add(key);
    this.fromKeys();
    return true;
  }

  up(code) {
    if (this.held.delete(TWINS[code] || code)) this.fromKeys();
  }

  uses(key) {
    if (this.actions.kind === "discrete") return this.actions.choices.some((choice) => choice.keys.includes(key));
    const used = ["ArrowLeft", "ArrowRight", "ArrowDown", "ArrowUp"].slice(0, 2 * Math.min(2, this.actions.width));
    return this.actions.kind === "continuous" && used.includes(key);
  }

  fromKeys() {
    if (this.actions.kind === "continuous") {
      const pull = (low, high) => this.held.has(high) - this.held.has(low);
      const next = [...this.last];
      next[0] = pull("ArrowLeft", "ArrowRight");
      if (next.length > 1) next[1] = pull("ArrowDown", "ArrowUp");
      this.set(next);
    } else {
      const index = this.chosen();
      if (index === null) this.rest();
      else this.set([index]);
    }
  }

  // The action with the most keys, all of them held; the newest key decides between equals.
  chosen() {
    let best = null, most = 0;
    const order = [...this.held];
    this.actions.choices.forEach(({ keys }, index) => {
      if (!keys.length || !keys.every((key) => this.held.has(key))) return;
      const score = keys.length + order.indexOf(keys.at(-1)) / 100;
      if (score > most) [best, most] = [index, score];
    });
    return best;
  }

  // Nothing is held: the action that does nothing, or without one the last action stays.
  rest() {
    if (this.actions.has_idle) this.set([...this.actions.idle]);
  }

  release() {
    this.held.clear();
    if (this.actions.kind !== "multi") this.rest();
  }

  // Dragging on a picture sets the first two numbers.
  drag(canvas) {
    if (this.actions.kind !== "continuous") return;
    const move = (event) => {
      const box = canvas.getBoundingClientRect();
      const share = (at, start, size) => Math.max(-1, Math.min(1, (2 * (at - start)) / size - 1));
      const next = [...this.last];
      next[0] = share(event.clientX, box.left, box.width);
      if (next.length > 1) next[1] = -share(event.clientY, box.top, box.height);
      this.set(next);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      move(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.rest());
  }

  // Read a gamepad, if there is one: sticks and the cross are arrows, the first button is the space bar.
  poll() {
    const pad = navigator.getGamepads?.().find((one) => one?.connected);
    if (!pad) {
      if (this.pad) this.release(); // it was disconnected, perhaps with a key held
      this.pad = null;
      return;
    }
    const quiet = (value) => (Math.abs(value) < DEAD_ZONE ? 0 : value);
    const axes = pad.axes.map((value, index) => quiet(index % 2 ? -value : value));
    const keys = {
      ArrowLeft: axes[0] < -0.5 || pad.buttons[14]?.pressed, ArrowRight: axes[0] > 0.5 || pad.buttons[15]?.pressed,
      ArrowUp: axes[1] > 0.5 || pad.buttons[12]?.pressed, ArrowDown: axes[1] < -0.5 || pad.buttons[13]?.pressed,
      Space: pad.buttons[0]?.pressed,
    };
    const now = JSON.stringify([axes, keys]);
    if (now === this.pad) return;
    this.pad = now;
    if (this.actions.kind === "continuous") {
      this.set(this.last.map((value, index) => axes[index] ?? value));
    } else {
      for (const [key, pressed] of Object.entries(keys)) pressed ? this.down(key) : this.up(key);
    }
  }

  set(action) {
    this.last = action;
    this.show(action);
    const text = JSON.stringify(action);
    if (text !== this.sent) this.send(action);
    this.sent = text;
  }

  // Show an action, also one that somebody else chose.
  show(action) {
    if (this.actions.kind === "discrete") {
      [...this.box.children].forEach((button, index) => button.setAttribute("aria-pressed", index === action[0]));
    } else {
      this.sliders.forEach((slider, index) => {
        if (document.activeElement !== slider) slider.value = action[index];
        slider.output.value = this.actions.kind === "multi" ? action[index] : action[index].toFixed(2);
      });
    }
  }
}

function label(key) {
  return LABELS[key] || key.replace("Digit", "");
}
