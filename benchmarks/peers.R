# One process that fits every data set in a folder with one R package, and leaves draws and times there:
# Rscript peers.R (brms|rstan|rstanarm|jags) FOLDER
# The model is a Poisson regression of person-interval rows: events on interval, arm and a slope in each arm,
# offset log exposure, normal priors. 4 chains of 1000 draws after 1000 of warm-up, the package's own defaults else.

arguments <- commandArgs(trailingOnly = TRUE)
tool <- arguments[1]
folder <- arguments[2]
chains <- 4
draws <- 1000
cores <- 2
options(mc.cores = cores)
# Debian's rstan takes Boost from the system, where rstan does not look by itself.
if (tool %in% c("rstan", "brms") && !file.exists(rstan::rstan_options("boost_lib"))) {
  rstan::rstan_options(boost_lib = "/usr/include")
}

priors <- read.csv(file.path(folder, "priors.csv"))
numbers <- sort(as.integer(gsub("[^0-9]", "", list.files(folder, "^rows_"))))

data_set <- function(number) {
  rows <- read.csv(file.path(folder, sprintf("rows_%d.csv", number)))
  rows$interval <- factor(rows$interval)
  rows$log_exposure <- log(rows$exposure)
  rows
}

terms <- ~ 0 + interval + arm + score_1 + score_2
with_outcome <- update(terms, event ~ . + offset(log_exposure))

keep <- function(number, slopes) {
  # slopes: draws x chains x 2
  flat <- data.frame(
    score_1 = as.vector(slopes[, , 1]), score_2 = as.vector(slopes[, , 2]),
    chain = rep(seq_len(dim(slopes)[2]) - 1, each = dim(slopes)[1])
  )
  write.csv(flat, file.path(folder, sprintf("draws_%d.csv", number)), row.names = FALSE)
}

# Chains run beside each other on two cores: the time that warm-up and draws take is half their sum.
stan_seconds <- function(fit) sum(rstan::get_elapsed_time(fit)) / cores

seconds <- function(expression) system.time(expression)[["elapsed"]]

fit_rstan <- function() {
  code <- "
data { int<lower=1> n; int<lower=1> p; matrix[n, p] x; int<lower=0> y[n]; vector[n] log_exposure;
       vector[p] prior_mean; vector[p] prior_sd; }
parameters { vector[p] b; }
model { b ~ normal(prior_mean, prior_sd); y ~ poisson_log(x * b + log_exposure); }"
  compiling <- seconds(model <- rstan::stan_model(model_code = code))
  lapply(numbers, function(number) {
    rows <- data_set(number)
    x <- model.matrix(terms, rows)
    data <- list(
      n = nrow(x), p = ncol(x), x = x, y = rows$event, log_exposure = rows$log_exposure,
      prior_mean = priors$mean, prior_sd = priors$sd
    )
    fit <- rstan::sampling(
      model, data = data, chains = chains, iter = 2 * draws, warmup = draws, seed = number, refresh = 0
    )
    keep(number, rstan::extract(fit, "b", permuted = FALSE)[, , ncol(x) - 1:0])
    list(number = number, compile = if (number == 1) compiling else 0, sampling = stan_seconds(fit))
  })
}

fit_rstanarm <- function() {
  lapply(numbers, function(number) {
    fit <- rstanarm::stan_glm(
      with_outcome, family = poisson(), data = data_set(number),
      prior = rstanarm::normal(priors$mean, priors$sd, autoscale = FALSE),
      chains = chains, iter = 2 * draws, warmup = draws, seed = number, refresh = 0
    )
    keep(number, as.array(fit)[, , c("score_1", "score_2")])
    list(number = number, compile = 0, sampling = stan_seconds(fit$stanfit))
  })
}

fit_brms <- function() {
  given <- do.call(c, unname(Map(function(term, mean, sd) {
    brms::set_prior(sprintf("normal(%.17g, %.17g)", mean, sd), class = "b", coef = term)
  }, priors$term, priors$mean, priors$sd)))
  first <- NULL
  compiling <- seconds(
    first <- brms::brm(with_outcome, data_set(1), family = poisson(), prior = given, chains = 0)
  )
  lapply(numbers, function(number) {
    fit <- update(
      first, newdata = data_set(number), recompile = FALSE, chains = chains,
      iter = 2 * draws, warmup = draws, seed = number, refresh = 0
    )
    keep(number, as.array(fit)[, , c("b_score_1", "b_score_2")])
    list(number = number, compile = if (number == 1) compiling else 0, sampling = stan_seconds(fit$fit))
  })
}

fit_jags <- function() {
  code <- "model {
  for (i in 1:n) { y[i] ~ dpois(exp(inprod(x[i, ], b) + log_exposure[i])) }
  for (j in 1:p) { b[j] ~ dnorm(prior_mean[j], pow(prior_sd[j], -2)) }
}"
  lapply(numbers, function(number) {
    rows <- data_set(number)
    x <- model.matrix(terms, rows)
    data <- list(
      n = nrow(x), p = ncol(x), x = x, y = rows$event, log_exposure = rows$log_exposure,
      prior_mean = priors$mean, prior_sd = priors$sd
    )
    starts <- lapply(seq_len(chains), function(chain) {
      list(.RNG.name = "base::Mersenne-Twister", .RNG.seed = 100 * number + chain)
    })
    sampled <- NULL
    sampling <- seconds({
      model <- rjags::jags.model(
        textConnection(code), data, starts, n.chains = chains, n.adapt = draws, quiet = TRUE
      )
      sampled <- rjags::coda.samples(model, "b", n.iter = draws, progress.bar = "none")
    })
    slopes <- aperm(simplify2array(lapply(sampled, function(chain) chain[, ncol(x) - 1:0])), c(1, 3, 2))
    keep(number, slopes)
    # JAGS runs its chains one after another; on two cores it could take half as long.
    list(number = number, compile = 0, sampling = sampling / cores)
  })
}

done <- switch(tool, rstan = fit_rstan(), rstanarm = fit_rstanarm(), brms = fit_brms(), jags = fit_jags())
write.csv(do.call(rbind, lapply(done, as.data.frame)), file.path(folder, "times.csv"), row.names = FALSE)
