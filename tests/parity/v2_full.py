def check(golden): raise NotImplementedError
check_actor_critic = check
