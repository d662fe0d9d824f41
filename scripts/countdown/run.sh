#!/bin/sh
# Trains, measures and exports the three models. About an hour of one core; needs torch, numpy and safetensors.
# usage: run.sh WORK_DIRECTORY [PYTHON]
set -eu
work=$1
python=${2:-python3}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$work"
run() {
    script=$1
    shift
    "$python" "$here/$script" "$@"
}

# policy: two stages at a constant rate, one in which it falls to zero, and two that punish illegal tokens
run train_policy.py "$work/p1.pt" --steps 2500 --q 0.3 --seed 1
run train_policy.py "$work/p2.pt" --init "$work/p1.pt" --steps 750 --q 0.5 --seed 2
run train_policy.py "$work/p3.pt" --init "$work/p2.pt" --steps 1400 --cooldown 1400 --q 0.45 --seed 3
run train_policy.py "$work/p4.pt" --init "$work/p3.pt" --steps 500 --cooldown 500 --q 0.5 --rate 0.25 --legality 5 --seed 4
run train_policy.py "$work/policy.pt" --init "$work/p4.pt" --steps 450 --cooldown 450 --q 0.5 --rate 0.3 --legality 5 --shuffle 0.4 --seed 5

# reward: exact labels of random runs, first of states with one or two numbers
run train_reward.py "$work/r1.pt" --init "$work/p1.1500.pt" --shares 0.35 0.65 0 0 0 --steps 1500 --seed 3
run train_reward.py "$work/r2.pt" --init "$work/r1.pt" --shares 0.03 0.32 0.42 0.2 0.03 --steps 3500 --seed 4
run train_reward.py "$work/r3.pt" --init "$work/r2.pt" --shares 0.02 0.2 0.38 0.36 0.04 --steps 700 --cooldown 700 --rate 0.4 --seed 5
# then the policy's own states, with its exact values
run rollouts.py "$work/policy.pt" "$work/rollouts1.pt" --blocks 26 --seed 1
run rollouts.py "$work/policy.pt" "$work/rollouts2.pt" --blocks 26 --seed 2
run train_reward.py "$work/reward.pt" "$work/rollouts1.pt" "$work/rollouts2.pt" --init "$work/r3.pt" --shares 0.02 0.2 0.38 0.4 0 --steps 300 --cooldown 300 --rate 0.15 --seed 7

# weak reward: smaller, less trained, and tuned on the outcomes of single completions
run train_reward.py "$work/w1.pt" --weak --shares 0.25 0.4 0.2 0.15 0 --steps 1200 --batch 128 --seed 6
run train_reward.py "$work/reward_weak.pt" "$work/rollouts1.pt" "$work/rollouts2.pt" --label completion --weak --init "$work/w1.pt" --shares 0.1 0.3 0.3 0.3 0 --steps 200 --cooldown 200 --rate 0.2 --seed 8

run evaluate.py "$work/policy.pt" "$work/metrics.json" --reward "$work/reward.pt" --reward-weak "$work/reward_weak.pt"
run export.py "$here/../../examples/data/countdown" --policy "$work/policy.pt" --reward "$work/reward.pt" --reward-weak "$work/reward_weak.pt"
