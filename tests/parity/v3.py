"""Golden files of V3: file -> check. Arrays agree relative to their largest value, gradients ten times looser."""

from tests.parity import v3_agent, v3_behavior, v3_nets, v3_parts


def strict(check):
    """The check with the tolerance of forward values."""

    def run(golden):
        golden.tol, golden.floor = v3_parts.FORWARD, 0.0
        check(golden)

    return run


CHECKS = {
    "a_symlog_twohot": v3_parts.check_twohot,
    "b_categorical_kl": v3_parts.check_categorical,
    "c_bounded_normal": v3_parts.check_bounded_normal,
    "d_returns_losses": v3_behavior.check_returns,
    "e_normalizers": v3_parts.check_normalizers,
    "f_slow_ema": v3_parts.check_slow,
    "g_optimizer": v3_parts.check_optimizer,
    "h_layers": v3_nets.check_layers,
    "h_rssm_cont": v3_nets.check_rssm,
    "h_rssm_disc": v3_nets.check_rssm,
    "i_encoder_decoder": v3_nets.check_encoder_decoder,
    "i_heads": v3_nets.check_heads,
    "j_agent_cont": v3_agent.check_agent,
    "j_agent_disc": v3_agent.check_agent,
}
CHECKS = {stem: strict(check) for stem, check in CHECKS.items()}
