// One service of the emulator, until its input ends: serve.mjs SERVICE PORT SEED (JSON). Prints its address.
import { createEmulator } from "emulate";

const [service, port, seed] = process.argv.slice(2);
const emulator = await createEmulator({ service, port: Number(port), seed: JSON.parse(seed) });
console.log(JSON.stringify({ url: emulator.url }));
process.stdin.resume();
process.stdin.on("end", async () => {
  await emulator.close();
  process.exit(0);
});
