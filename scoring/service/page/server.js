// Calls of the server, with the token of this tab.

export class Failed extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

async function call(path, options) {
  const headers = { ...options.headers };
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  let response, answer;
  try {
    response = await fetch(path, { ...options, headers });
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed("The server does not answer.");
  }
  if (!response.ok) {
    throw new Failed(answer.error || `Status ${response.status}`, response.status);
  }
  return answer;
}

let known = null;

// The models of the server: name, classes ...
export function models() {
  known ??= call("v1/models", {}).then((answer) => answer.models, (error) => {
    known = null;
    throw error;
  });
  return known;
}

// The answer to a body of JSON; where too much waits already, it is sent again.
export async function post(path, body, signal) {
  for (;;) {
    try {
      return await call(path, {
        method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
    } catch (error) {
      if (error.status !== 429) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
      signal?.throwIfAborted();
    }
  }
}

// The body of a call.
export const bodyOf = (texts, model) => JSON.stringify({ texts, model });
