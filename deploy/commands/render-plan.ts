import type {
  Cost,
  CreditsEvent,
  DeployedEvent,
  ForgottenEvent,
  PlanEvent,
  PlannedModelLine,
  StatusEvent,
} from "./events.ts";
import { formatBytes, formatDuration } from "./format.ts";

/** A plan as people read it. */
export function renderPlan(plan: PlanEvent): string {
  const { balance } = plan;
  const upload =
    plan.uploadBytes === 0
      ? "nothing to upload, only messages to publish"
      : `${formatBytes(plan.uploadBytes)} to upload, about ${formatMinutes(plan.uploadMinutes)}`;
  const days = balance.daysLeft === undefined ? "" : `, ${balance.daysLeft} days of everything`;
  return lines(
    `  network  ${plan.apiServer}`,
    `  owner    ${plan.owner}`,
    ...plan.models.flatMap(renderModel),
    ...plan.unwanted.flatMap(({ model, itemHash }) => [
      "",
      `  ${model}: published as ${itemHash}, and not wanted any more; \`pinference forget ${model}\` ends it`,
    ]),
    "",
    `  cost     ${renderCost(plan.cost)}`,
    `  balance  ${whole(balance.credits)} credits${days}; ${whole(balance.requiredCredits)} must be there to publish`,
    ...(balance.isEnough ? [] : ["           that is not enough: add credits first"]),
    `  ${plan.todo ? upload : "nothing to do"}`,
  );
}

function renderModel(model: PlannedModelLine): readonly string[] {
  const { vcpus, memoryMiB, creditsPerHour } = model;
  return [
    "",
    `  ${model.model}: ${model.action} (${model.why})`,
    `    program          ${vcpus} vCPU, ${memoryMiB} MiB, ${whole(creditsPerHour)} credits an hour`,
    ...(model.itemHash === undefined ? [] : [`    published as     ${model.itemHash}`]),
    ...model.images.map(
      ({ stage, action, bytes, why }) =>
        `    ${stage.padEnd(15)}  ${action.padEnd(6)}  ${formatBytes(bytes).padStart(9)}  ${why}`,
    ),
    ...model.previous.map((hash) => `    earlier program  ${hash} stays, and costs, until it is forgotten`),
  ];
}

export function renderDeployed({ model, baseUrl, answer, cost, curl }: DeployedEvent): string {
  return lines(
    "",
    `  ${model}`,
    `    base URL  ${baseUrl}`,
    ...(answer === undefined ? [] : [`    answers   ${JSON.stringify(answer)}`]),
    `    program   ${renderCost(cost)}`,
    `    ${curl}`,
  );
}

export function renderStatus(event: StatusEvent): string {
  const { model, itemHash, program, publishedAt, creditsPerHour, daysLeft, url } = event;
  const left = daysLeft === undefined ? "" : `; the credits last ${daysLeft} days`;
  return lines(
    `  ${model}`,
    `    published  ${publishedAt.slice(0, 10)}, the network says: ${program}`,
    `    program    ${itemHash}`,
    `    pinned     ${renderFiles(event)}`,
    ...event.nodes.map((node) => `    node       ${renderNode(node)}`),
    ...(creditsPerHour === undefined ? [] : [`    cost       ${whole(creditsPerHour)} credits an hour${left}`]),
    `    URL        ${url}`,
  );
}

function renderFiles({ files, bytes, lost }: StatusEvent): string {
  const stages = ["runtime", "code volume", ...files.slice(2).map((_, at) => `model volume ${at + 1}`)];
  const wrong = [
    ...files.flatMap((state, at) => (state === "processed" ? [] : [`${stages[at]} is ${state}`])),
    ...lost.map((stage) => `the bytes of the ${stage} are gone`),
  ];
  const all = `${files.length} files, ${formatBytes(bytes)}`;
  return wrong.length === 0 ? `${all}, all kept` : `${all}: ${wrong.join(", ")}; \`pinference deploy\` mends it`;
}

function renderNode({ crn, state, answerMs, reason }: StatusEvent["nodes"][number]): string {
  const how = state === "running" ? "warm" : state;
  const time = answerMs === undefined ? "" : `, answered in ${formatDuration(answerMs)}`;
  return `${how}${time}${reason === undefined ? "" : ` (${reason})`}  ${crn}`;
}

export function renderCredits({ owner, credits, creditsPerHour, daysLeft }: CreditsEvent): string {
  const left = daysLeft === undefined ? "" : `, ${daysLeft} days left`;
  return `  ${owner}: ${whole(credits)} credits, ${whole(creditsPerHour)} an hour${left}\n`;
}

export function renderForgotten({ model, programs, filesKept, freed }: ForgottenEvent): string {
  const kept = filesKept === 0 ? "" : `; ${filesKept} files stay, for other programs use them`;
  return `\n  ${model} is forgotten: ${programs} program${programs === 1 ? "" : "s"}${kept}. Freed: ${renderCost(freed)}\n`;
}

function renderCost(cost: Cost): string {
  const { creditsPerHour, dollarsPerHour, dollarsPerDay, dollarsPerMonth } = cost;
  const dollars = [dollarsPerHour.toFixed(4), dollarsPerDay.toFixed(2), dollarsPerMonth.toFixed(2)];
  return `${whole(creditsPerHour)} credits an hour: ${dollars[0]} dollars an hour, ${dollars[1]} a day, ${dollars[2]} a month`;
}

function formatMinutes(minutes: number): string {
  return minutes < 1 ? "a minute" : `${Math.ceil(minutes)} minutes`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function lines(...all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
