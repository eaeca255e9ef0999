import { command } from "./command.ts";
import { SOMETHING_TO_DO } from "./exit-codes.ts";
import { asOperator } from "./operator.ts";
import { makePlan, PLAN_OPTIONS } from "./planning.ts";

export const plan = command({
  name: "plan",
  summary: "Show what deploying models would change on the network, and what it costs",
  positionals: {
    name: "MODEL",
    help: "catalogue id, hf:owner/repository/file.gguf or a file (default: what is published, or shall be)",
  },
  options: PLAN_OPTIONS,
  examples: ["pinference plan", "pinference plan qwen3-0.6b --json"],
  async run(options, references, context) {
    return asOperator(options, context, async (operator) => {
      const { event } = await makePlan(references, options, operator, context);
      context.out.emit(event);
      return event.todo ? SOMETHING_TO_DO : 0;
    });
  },
});
