#!/usr/bin/env bash
# Train, evaluate and publish the agents of this folder, one after the other, with one thread: pretrained/make.sh
# Rerun it to continue. Runs go to logs/pretrained, agents to pretrained/VERSION/TASK. docs/publish.md has their scores.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1
python=${PYTHON:-.venv/bin/python}

agent() {  # NAME VERSION FLAGS...
  local name=$1 algo=$2 logdir=logs/pretrained/$1
  shift 2
  "$python" dreamer.py --algo "$algo" --configs cpu --seed 0 --run.threads 1 --run.video_every 0 --run.log_every 500 \
    --run.save_every 2000 --run.eval_every 2000 --run.eval_episodes 10 --logdir "$logdir" "$@"
  # Other episodes than those that chose the best checkpoint
  "$python" dreamer.py eval --logdir "$logdir" --best --episodes 100 --seed 1000 --run.eval_envs 20 --run.parallel none
  "$python" dreamer.py push "$logdir" "pretrained/$name" --best --half --random 100 --overwrite --name "pretrained:${name/\//-}"
}

PIXELS="--task dummy_pixels --discount 0.95 --imagination.horizon 8 --batch_length 12 --run.prefill 500"
PENDULUM="--task gym_Pendulum-v1"
agent v3/pendulum v3 $PENDULUM --steps 12000
agent v1/pixels v1 $PIXELS --steps 8000 --schedule.every 50 --schedule.updates 15 \
  --optim.lr.model 2e-3 --optim.lr.critic 1e-3 --optim.lr.actor 3e-4 --actor.entropy 0.02
agent v1/pendulum v1 $PENDULUM --batch_length 16 --steps 12000
agent v2/pendulum v2 $PENDULUM --batch_length 16 --steps 12000 --discount 0.98 --slow.every 25 \
  --reward_norm.momentum 0.99 --actor.entropy 0.3
SHORT="--discount 0.9 --imagination.horizon 5 --run.eval_every 1000 --run.save_every 500"
agent v2/pixels v2 $PIXELS $SHORT --steps 6000 --schedule.steps 4 --optim.lr.model 2e-3 \
  --optim.lr.critic 1e-3 --optim.lr.actor 3e-4 --slow.every 50
agent v3/pixels v3 $PIXELS $SHORT --steps 6000 --schedule.ratio 24 \
  --optim.lr.model 1e-3 --optim.lr.critic 5e-4 --optim.lr.actor 5e-4
